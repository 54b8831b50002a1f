# Targets of connect-runner for the root Makefile. Maven and JDK 17 are needed beside Go.

CONNECT_RUNNER := services/connect-runner
CONNECT_RUNNER_JVM := $(CONNECT_RUNNER)/jvm
CONNECT_RUNNER_JAR := $(CONNECT_RUNNER_JVM)/runner/target/lib/weir-connect-runner.jar
CONNECT_RUNNER_HARNESS := $(CONNECT_RUNNER_JVM)/harness/target/stamp
CONNECT_RUNNER_GO := GOWORK=off go -C $(CONNECT_RUNNER)
CONNECT_RUNNER_MVN := mvn -q -B -ntp -f $(CONNECT_RUNNER_JVM)/pom.xml

# Says what is missing to build and test the JVM part: fails in CI, and elsewhere lets the caller go on without.
.PHONY: connect-runner-tools
connect-runner-tools:
	@$(CONNECT_RUNNER)/scripts/tools

.PHONY: build-connect-runner
build-connect-runner: ## Build connect-runner: bin/connect-runner and the jars of its JVM part
	$(CONNECT_RUNNER_GO) build -trimpath -o ../../bin/connect-runner ./cmd/connect-runner
	@if $(CONNECT_RUNNER)/scripts/tools; then $(MAKE) --no-print-directory $(CONNECT_RUNNER_JAR); elif [ "$$CI" = true ]; then exit 1; fi

$(CONNECT_RUNNER_JAR): $(shell find $(CONNECT_RUNNER_JVM)/runner/src $(CONNECT_RUNNER_JVM)/runner/pom.xml $(CONNECT_RUNNER_JVM)/pom.xml -type f)
	$(CONNECT_RUNNER_MVN) -pl runner package

# The broker, the connectors from Maven Central and the test plugin.
$(CONNECT_RUNNER_HARNESS): $(shell find $(CONNECT_RUNNER_JVM)/testplugin/src $(CONNECT_RUNNER_JVM)/testplugin/pom.xml $(CONNECT_RUNNER_JVM)/harness/pom.xml $(CONNECT_RUNNER_JVM)/pom.xml -type f)
	$(CONNECT_RUNNER_MVN) -pl testplugin,harness package
	@touch $@

.PHONY: test-connect-runner
test-connect-runner: ## Test connect-runner with a real broker, the real binary and real JVMs
	@if $(CONNECT_RUNNER)/scripts/tools; then $(MAKE) --no-print-directory $(CONNECT_RUNNER_JAR) $(CONNECT_RUNNER_HARNESS); elif [ "$$CI" = true ]; then exit 1; fi
	$(CONNECT_RUNNER_GO) test ./...

.PHONY: bench-connect-runner
bench-connect-runner: ## Measure connect-runner: throughput against connect-standalone, start, memory, and 100 kills
	@$(CONNECT_RUNNER)/scripts/tools
	@$(MAKE) --no-print-directory $(CONNECT_RUNNER_JAR) $(CONNECT_RUNNER_HARNESS)
	WEIR_BENCH=true $(CONNECT_RUNNER_GO) test ./internal/e2e -run 'TestBench|TestTally' -v -count=1 -timeout 60m
