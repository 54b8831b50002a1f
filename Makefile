SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Each module is built with its own go.mod, as a dependent project would build it. go.work is for editors.
export CGO_ENABLED := 0
export GOWORK := off

SERVICES := $(sort $(patsubst services/%/go.mod,%,$(wildcard services/*/go.mod)))
LIBRARIES := $(patsubst %/go.mod,%,$(wildcard apis/go.mod generated/go.mod pkg/go.mod scripts/go.mod e2e/go.mod))
E2E_BENCHES := $(patsubst e2e/bench/%/main.go,bench-%,$(wildcard e2e/bench/*/main.go))
BENCHES := $(E2E_BENCHES) $(shell cat /dev/null $(wildcard services/*/service.mk) | grep -o '^bench-[a-z-]*')
CHECKS := $(shell scripts/verify --list)

SERVICE ?=
SUITE ?=
CHAPTER ?=
VERSION ?=
FUZZTIME ?= 20s
# Many packages start a control plane of their own. Two packages are tested at a time.
TESTFLAGS ?= -p 2 -timeout 20m
# The number of perturbations that are replayed (pkg/testkit/perturb): sample replays some of each kind, full replays all.
export WEIR_PERTURB ?= sample

ifneq ($(SERVICE),)
ifeq ($(filter $(SERVICE),$(SERVICES)),)
$(error unknown service $(SERVICE); the services are: $(SERVICES))
endif
endif
CHOSEN := $(or $(SERVICE),$(SERVICES))

# missing fails and prints why a target cannot run.
missing = @echo "make $@: $(1)" >&2; exit 1

##@ Use

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9%-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile
	@printf '\nservices: %s\n' '$(SERVICES)'

.PHONY: demo
demo: ## run the demo on an embedded control plane; with Go alone it skips some chapters [CHAPTER=connect|drains|volumes|gluster|quota]
	$(if $(wildcard e2e/demo/*.go),@cd e2e && go build -o ../bin/demo ./demo && exec ../bin/demo $(CHAPTER),$(call missing,e2e/demo does not exist))

.PHONY: build
build: $(CHOSEN:%=build-%) ## build the services into bin/ [SERVICE=x]
	$(if $(CHOSEN),,$(call missing,no service exists))

##@ Develop

.PHONY: test
test: $(if $(SERVICE),,$(LIBRARIES:%=test-library-%)) $(CHOSEN:%=test-%) ## run all tests, with an embedded control plane [SERVICE=x]

# Linking takes most of the time, so packages are left out whose tests only run with a control plane. Two modules are tested at a
# time, the largest first.
UNITTESTS := pkg $(addprefix services/,volume-provisioner drain-cleaner connect-scheduler connect-runner)
.PHONY: test-unit
test-unit: ## run the unit tests of services and libraries, in under a minute [SERVICE=x]
	@printf '%s\n' $(if $(SERVICE),services/$(SERVICE),$(UNITTESTS) \
		$(filter-out $(UNITTESTS),apis scripts $(SERVICES:%=services/%))) | \
		xargs -P 2 -I{} bash -c 'cd {} && go test -short $$(go list ./... | grep -Ev "/test/|/testkit")'

.PHONY: test-race
test-race: ## run the unit tests of packages with goroutines under the race detector; needs a C compiler
	@scripts/race

.PHONY: generate
generate: ## regenerate clients, CRDs and reference documents from the code
	@scripts/generate

.PHONY: proof
proof: ## write docs/proof.md from docs/proof
	@cd scripts && go run ./cmd/proof -root=..

.PHONY: proof-run
proof-run: ## run the commands of docs/proof/claims.yaml and record what they print [CLAIMS=upgrade,smoke|all]
	$(if $(CLAIMS),@cd scripts && go run ./cmd/proof -root=.. -run='$(CLAIMS)',$(call missing,set CLAIMS to IDs or all))

.PHONY: verify
verify: ## run all static checks; verify-<check> runs one
	@scripts/verify

.PHONY: lint
lint: verify-lint ## run the linters

.PHONY: fix-lint
fix-lint: ## format the code and apply the fixes of the linters
	@source scripts/lib.sh; linter=$$(tool lint golangci-lint); for module in $$(modules | grep -v '^generated$$'); do \
		in_module $$module "$$linter" run --fix --config="$$root/.golangci.yml" ./... || true; done

.PHONY: fix-modules
fix-modules: ## write go.work and the require and replace lines of sibling modules; run go mod tidy
	@scripts/modules
	@source scripts/lib.sh; for module in $$(modules); do in_module $$module go mod tidy; done; scripts/modules --check

.PHONY: $(CHECKS:%=verify-%)
$(CHECKS:%=verify-%): verify-%:
	@scripts/verify $*

.PHONY: verify-self-test
verify-self-test: ## test that verify fails on broken input
	@scripts/verify-self-test

.PHONY: fuzz
fuzz: ## run every fuzz test [FUZZTIME=20s] [SERVICE=x]
	@FUZZTIME=$(FUZZTIME) scripts/fuzz $(SERVICE:%=services/%)

.PHONY: dev
dev: ## run the suite on a kind cluster, redeploy on each change and follow the logs
	@e2e/kind/dev

##@ Release

.PHONY: release
release: ## write a release to dist/; IMAGES=true adds images and SBOMs [VERSION=v0.1.0]
	@scripts/release '$(VERSION)'

.PHONY: images
images: ## build the container images; write SBOMs to dist/sbom [SERVICE=x]
	@scripts/images/build $(SERVICE)

.PHONY: e2e
e2e: ## run the end-to-end suites on kind; E2E_KEEP=1 keeps the cluster [SUITE=smoke|connect|gluster|…]
	@cd e2e && go build -o ../bin/e2e ./kind && exec ../bin/e2e -suite='$(SUITE)'

.PHONY: e2e-upgrade
e2e-upgrade: controlplane connect-runner-jvm connect-runner-harness ## test the upgrade from the previous release, as root, without Docker [FROM=revision]
	@from=$${FROM:-$$(git describe --tags --abbrev=0 HEAD~1 2>/dev/null || git rev-parse HEAD~1)} && \
		echo "upgrade from $$from ($$(git log -1 --format=%s "$$from"))" && cd e2e && \
		WEIR_UPGRADE_FROM=$$from go test ./internal/pods -run Upgrade -v -count=1

.PHONY: e2e-stored
e2e-stored: controlplane ## store the objects that services of a release make, for the upgrade test in make test [FROM=revision]
	@cd e2e && WEIR_STORE_FROM=$${FROM:-$$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse HEAD)} \
		go test ./internal/upgrade -run TestStore -v -count=1

.PHONY: cluster
cluster: ## create a kind cluster with the images of this tree loaded, without running suites; e2e-clean deletes it
	@cd e2e && go build -o ../bin/e2e ./kind && E2E_KEEP=1 exec ../bin/e2e -up

.PHONY: e2e-clean
e2e-clean: ## delete the cluster that E2E_KEEP=1 kept
	@cd e2e && go build -o ../bin/e2e ./kind && exec ../bin/e2e -clean

.PHONY: bench
bench: $(filter $(CHOSEN:%=bench-%),$(BENCHES)) ## run the benchmarks [SERVICE=x] [BENCHFLAGS=-help]
	$(if $(filter $(CHOSEN:%=bench-%),$(BENCHES)),,$(call missing,$(or $(CHOSEN),the suite) has no benchmark))

# Targets of one module. services/<name>/service.mk may add prerequisites to build-<name> and test-<name>, and may define
# bench-<name>.

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
	cd e2e && go run ./bench/$* $(BENCHFLAGS)

# Builds the programs of the control plane before the tests start, so that the build does not count against their timeouts.
.PHONY: controlplane
controlplane:
	@cd pkg && go run ./testkit/cmd/controlplane build >/dev/null

-include $(wildcard services/*/service.mk)
