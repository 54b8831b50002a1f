# What connect-runner needs beside Go: its JVM part, and for tests the broker and plugins that they run. Maven and a JDK of at
# least version 17 build them; without them this says so, and fails where CI=true.

CR := services/connect-runner
CR_JVM := $(CR)/jvm
CR_MVN := mvn -q -B -ntp -f $(CR_JVM)/pom.xml
CR_SOURCES = $(shell find $(foreach dir,$(1),$(CR_JVM)/$(dir)/src $(CR_JVM)/$(dir)/pom.xml) $(CR_JVM)/pom.xml -type f 2>/dev/null)
CR_STAMPS := $(CR_JVM)/runner/target/stamp $(CR_JVM)/harness/target/stamp

build-connect-runner: connect-runner-jvm
test-connect-runner: connect-runner-jvm connect-runner-harness

.PHONY: connect-runner-jvm
connect-runner-jvm: ## build the JVM part of connect-runner
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

# What is measured: Bench (throughput, start, memory), Tally (3 x 200 kills, side by side), or both. WEIR_TALLY is another number than 100.
BENCH ?= Bench|Tally

.PHONY: bench-connect-runner
bench-connect-runner: connect-runner-jvm connect-runner-harness ## measure connect-runner: throughput, start, memory, and kills under load [BENCH=Bench|Tally]
	cd $(CR) && WEIR_BENCH=true go test ./internal/e2e -run '$(BENCH)' -v -count=1 -parallel 3 -timeout 90m
