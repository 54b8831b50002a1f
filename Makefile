SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Modules are built as a dependant would build them, each by its own go.mod; go.work is for editors.
export CGO_ENABLED := 0
export GOWORK := off

SERVICES := $(sort $(patsubst services/%/go.mod,%,$(wildcard services/*/go.mod)))
LIBRARIES := $(patsubst %/go.mod,%,$(wildcard apis/go.mod generated/go.mod pkg/go.mod scripts/go.mod e2e/go.mod))
E2E_BENCHES := $(patsubst e2e/bench/%/main.go,bench-%,$(wildcard e2e/bench/*/main.go))
BENCHES := $(E2E_BENCHES) $(shell cat /dev/null $(wildcard services/*/service.mk) | grep -o '^bench-[a-z-]*')
CHECKS := $(shell scripts/verify --list)

SERVICE ?=
SUITE ?=
FUZZTIME ?= 20s
# Packages that start a control plane of their own share the machine: two at a time.
TESTFLAGS ?= -p 2 -timeout 20m
# How many disturbances are replayed (pkg/testkit/perturb): a sample of each kind, or full for every one of them.
export WEIR_PERTURB ?= sample

ifneq ($(SERVICE),)
ifeq ($(filter $(SERVICE),$(SERVICES)),)
$(error there is no service $(SERVICE); there are: $(SERVICES))
endif
endif
CHOSEN := $(or $(SERVICE),$(SERVICES))

# A target whose part is not there says which, and fails.
missing = @echo "make $@: $(1)" >&2; exit 1

##@ Use

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9%-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile
	@printf '\nservices: %s\n' '$(SERVICES)'

.PHONY: demo
demo: ## see the suite at work on an embedded control plane; needs Go and nothing else
	$(if $(wildcard e2e/demo/*.go),@cd e2e && go build -o ../bin/demo ./demo && exec ../bin/demo,$(call missing,there is no e2e/demo yet))

.PHONY: build
build: $(CHOSEN:%=build-%) ## build the services into bin/ [SERVICE=x]
	$(if $(CHOSEN),,$(call missing,there is no service yet))

##@ Develop

.PHONY: test
test: $(if $(SERVICE),,$(LIBRARIES:%=test-library-%)) $(CHOSEN:%=test-%) ## unit and integration tests on the embedded control plane [SERVICE=x]

.PHONY: generate
generate: ## regenerate clients, CRDs and references from the types in apis/
	@scripts/generate

.PHONY: verify
verify: ## check everything that can be checked without a cluster; verify-<check> for one of them
	@scripts/verify

.PHONY: lint
lint: verify-lint ## run the linters; fix-lint corrects what they can

.PHONY: fix-lint
fix-lint: ## format, and let the linters correct what they can
	@source scripts/lib.sh; linter=$$(tool lint golangci-lint); for module in $$(modules | grep -v '^generated$$'); do \
		in_module $$module "$$linter" run --fix --config="$$root/.golangci.yml" ./... || true; done

.PHONY: fix-modules
fix-modules: ## write go.work and the modules' lines about each other, and tidy
	@scripts/modules
	@source scripts/lib.sh; for module in $$(modules); do in_module $$module go mod tidy; done; scripts/modules --check

.PHONY: $(CHECKS:%=verify-%)
$(CHECKS:%=verify-%): verify-%:
	@scripts/verify $*

.PHONY: verify-self-test
verify-self-test: ## show that verify fails where it should
	@scripts/verify-self-test

.PHONY: fuzz
fuzz: ## fuzz every fuzz test for a while [FUZZTIME=20s] [SERVICE=x]
	@FUZZTIME=$(FUZZTIME) scripts/fuzz $(SERVICE:%=services/%)

.PHONY: dev
dev: ## a kind cluster with the suite in it, which follows the sources; tails the logs
	@e2e/kind/dev

##@ Ship

.PHONY: images
images: ## build the container images, list what is in them in dist/sbom, print their sizes [SERVICE=x]
	@scripts/images/build $(SERVICE)

.PHONY: e2e
e2e: ## run the end-to-end suites on kind; E2E_KEEP=1 keeps the cluster [SUITE=smoke|connect|storage|…]
	@cd e2e && go build -o ../bin/e2e ./kind && exec ../bin/e2e -suite='$(SUITE)'

.PHONY: e2e-clean
e2e-clean: ## delete the cluster that E2E_KEEP=1 has kept
	@cd e2e && go build -o ../bin/e2e ./kind && exec ../bin/e2e -clean

.PHONY: bench
bench: $(filter $(CHOSEN:%=bench-%),$(BENCHES)) ## run the benchmarks [SERVICE=x]
	$(if $(filter $(CHOSEN:%=bench-%),$(BENCHES)),,$(call missing,there is no benchmark for $(or $(CHOSEN),any service) yet))

# The parts. A services/<name>/service.mk may give build-<name> and test-<name> more prerequisites, and a bench-<name> of its own.

.PHONY: $(SERVICES:%=build-%)
$(SERVICES:%=build-%): build-%:
	cd services/$* && go build -trimpath -o ../../bin/ ./cmd/...

.PHONY: $(SERVICES:%=test-%)
$(SERVICES:%=test-%): test-%: controlplane
	cd services/$* && go test $(TESTFLAGS) ./...

.PHONY: $(LIBRARIES:%=test-library-%)
$(LIBRARIES:%=test-library-%): test-library-%: controlplane
	cd $* && go test $(TESTFLAGS) ./...

.PHONY: $(E2E_BENCHES)
$(E2E_BENCHES): bench-%: controlplane
	cd e2e && go run ./bench/$*

# Built ahead of the tests, where its progress is seen and no test's time limit runs.
.PHONY: controlplane
controlplane:
	@cd pkg && go run ./testkit/cmd/controlplane build >/dev/null

-include $(wildcard services/*/service.mk)
