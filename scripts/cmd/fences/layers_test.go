package main

import "testing"

func TestPackagesOfAServiceImportInnerLayersOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		refused  bool
	}{
		{"internal/app", "internal/reconcile", false},
		{"internal/app", "internal/kafka", false},
		{"internal/reconcile", "internal/kafka", false},
		{"internal/kafka", "internal/decide", false},
		{"internal/kafka", "internal/plugins", false},
		{"internal/webhook", "internal/decide/evict", false},
		{"internal/reconcile", "internal/reconcile/indexes", false},
		{"cmd/one", "internal/app", false},
		{"test/integration", "internal/app", false},
		{"test/integration", "test/env", false},
		{"internal/reconcile", "internal/app", true},
		{"internal/webhook", "internal/reconcile", true},
		{"internal/reconcile", "internal/webhook", true},
		{"internal/kafka", "internal/reconcile", true},
		{"internal/decide", "internal/kafka", true},
		{"internal/decide/evict", "internal/reconcile", true},
		{"internal/app", "cmd/one", true},
		{"internal/kafka", "test/env", true},
	} {
		if got := againstOrder(c.from, c.to); got != c.refused {
			t.Errorf("%s imports %s: refused is %v, want %v", c.from, c.to, got, c.refused)
		}
	}
}

func TestSubPackagesOfDecideImportPackagesToTheirRight(t *testing.T) {
	t.Parallel()
	order := []string{"status", "rollout", "effective"}
	for _, c := range []struct {
		from, to string
		refused  bool
	}{
		{"internal/decide", "internal/decide/rollout", false},
		{"internal/decide/status", "internal/decide/effective", false},
		{"internal/decide/effective", "internal/decide/status", true},
		{"internal/decide/effective", "internal/decide", true},
		{"internal/decide/other", "internal/decide/effective", true},
		{"internal/decide/status", "internal/decide/other", true},
	} {
		if got := againstDecideOrder(order, c.from, c.to); got != c.refused {
			t.Errorf("%s imports %s: refused is %v, want %v", c.from, c.to, got, c.refused)
		}
	}
}
