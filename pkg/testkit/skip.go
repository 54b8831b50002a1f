package testkit

import (
	"os"
	"testing"
)

// Skip skips a test that cannot run here, telling why. Where CI=true it fails instead: nothing may go untested there unnoticed.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("cannot run here, and CI=true forbids skipping: %s", why)
	}
	t.Skip(why)
}

// NeedsControlPlane skips a test in short mode (go test -short), which runs without a control plane. New and Shared call it.
func NeedsControlPlane(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("short mode: this test needs a control plane; run make test")
	}
}
