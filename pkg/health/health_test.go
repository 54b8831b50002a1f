package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/health"
)

func TestChecksReportsEachCheck(t *testing.T) {
	t.Parallel()
	passes := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errors.New("not synced") }
	for name, test := range map[string]struct {
		checks map[string]health.Check
		status int
		body   string
	}{
		"passes without a check": {status: http.StatusOK, body: "ok\n"},
		"passes when all pass": {
			checks: map[string]health.Check{"caches": passes}, status: http.StatusOK, body: "caches: ok\nok\n",
		},
		"fails when one fails, and names it": {
			checks: map[string]health.Check{"caches": fails, "lease": passes},
			status: http.StatusServiceUnavailable, body: "caches: not synced\nlease: ok\nnot ok\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var checks health.Checks
			for name, check := range test.checks {
				checks.Add(name, check)
			}
			response := httptest.NewRecorder()
			checks.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			require.Equal(t, test.status, response.Code)
			require.Equal(t, test.body, response.Body.String())
		})
	}
}
