# The benchmark runs under user-mode Linux; see pkg/testkit/quotakernel. WEIR_BENCH_DIRECTORIES sets the number of
# directories.
.PHONY: bench-quotad
bench-quotad: ## measure limits, checks and idle cost of quotad beside a crawl
	cd services/quotad && go test ./internal/brick -run '^$$' -bench Directories -benchtime 3x
	cd services/quotad && WEIR_BENCH=true WEIR_QUOTA_KERNEL_MEMORY=6G go test ./test/bricks -run Bench -v -count=1 -timeout 40m
