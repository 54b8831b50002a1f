# The benchmark needs root and GlusterFS; see pkg/testkit/gluster.
.PHONY: bench-gluster-bridge
bench-gluster-bridge: controlplane ## measure provisioning beside a FUSE mount, and memory at 10,000 volumes [BENCH=Bench]
	cd services/gluster-bridge && WEIR_BENCH=true go test ./test/bench -v -count=1 -timeout 30m
