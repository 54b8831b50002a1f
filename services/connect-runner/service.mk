# connect-runner's Java part, and the plugins that its tests run. Both need Maven and a JDK 17 or later. Without them the
# targets print what is missing, and fail with CI=true.

CR := services/connect-runner
CR_JVM := $(CR)/jvm
CR_MVN := mvn -q -B -ntp -f $(CR_JVM)/pom.xml
CR_SOURCES = $(shell find $(foreach dir,$(1),$(CR_JVM)/$(dir)/src $(CR_JVM)/$(dir)/pom.xml) $(CR_JVM)/pom.xml -type f 2>/dev/null)
CR_STAMPS := $(CR_JVM)/runner/target/stamp $(CR_JVM)/harness/target/stamp

build-connect-runner: connect-runner-jvm
test-connect-runner: connect-runner-jvm connect-runner-harness
# Its tests run connect-runner in pods.
test-library-e2e: connect-runner-jvm connect-runner-harness

.PHONY: connect-runner-jvm
connect-runner-jvm: ## build the Java part of connect-runner
	@if $(CR)/scripts/tools; then $(MAKE) $(CR_JVM)/runner/target/stamp; else [ "$${CI:-}" != true ]; fi

.PHONY: connect-runner-harness
connect-runner-harness:
	@if $(CR)/scripts/tools; then $(MAKE) $(CR_JVM)/harness/target/stamp; else [ "$${CI:-}" != true ]; fi

$(CR_JVM)/runner/target/stamp: $(call CR_SOURCES,runner) $(CR)/scripts/archive
	$(CR_MVN) -pl runner package
	cd $(CR) && go build -trimpath -o jvm/runner/target/connect-runner ./cmd/connect-runner
	$(CR)/scripts/archive $(CR_JVM)/runner/target/connect-runner $(CR_JVM)/runner/target/lib $(CR_JVM)/runner/target/archive
	@touch $@

$(CR_JVM)/harness/target/stamp: $(call CR_SOURCES,testplugin) $(CR_JVM)/harness/pom.xml
	$(CR_MVN) -pl testplugin,harness package
	@touch $@

# BENCH selects benchmarks by test name: Bench (throughput, start, memory), Memory and Killed (3 x 200 kills under load). WEIR_TALLY
# sets the number of SIGTERMs and SIGKILLs of the latter (100 each).
BENCH ?= Bench|Killed

.PHONY: bench-connect-runner
bench-connect-runner: connect-runner-jvm connect-runner-harness ## measure throughput, start, memory and kills under load [BENCH=Bench|Killed]
	cd $(CR) && WEIR_BENCH=true go test ./test/integration -run '$(BENCH)' -v -count=1 -parallel 3 -timeout 90m
