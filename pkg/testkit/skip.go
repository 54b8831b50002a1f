package testkit

import (
	"fmt"
	"os"
	"testing"
)

// Skip skips a test that cannot run on this machine and logs the reason. With CI=true the test fails instead.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("cannot run on this machine, and CI=true does not allow skips: %s", reason)
	}
	t.Skip(reason)
}

// IsLong reports whether long tests run: WEIR_LONG is true.
func IsLong() bool { return os.Getenv("WEIR_LONG") == "true" }

// Long skips a test that takes minutes unless long tests run, so that the default run stays below an hour.
func Long(t testing.TB) {
	t.Helper()
	if !IsLong() {
		t.Skip("long test: set WEIR_LONG=true")
	}
}

// NeedsControlPlane skips a test in short mode (go test -short), which runs without a control plane. New and Shared
// call it.
func NeedsControlPlane(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("short mode: this test needs a control plane; run make test")
	}
}

// IsLinux reports whether the kernel is Linux of this version or later.
func IsLinux(major, minor int) bool {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return false
	}
	var a, b int
	_, err = fmt.Sscanf(string(release), "%d.%d", &a, &b)
	return err == nil && (a > major || a == major && b >= minor)
}
