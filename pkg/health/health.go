// Package health serves /healthz and /readyz from named checks.
package health

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Check returns nil if the component is healthy, or an error with the reason.
type Check func(context.Context) error

// Checks is a set of named checks. The zero value is ready to use. It is an http.Handler that responds with one line
// for each check, and with status 200 if all checks pass or 503 otherwise.
type Checks struct {
	mu     sync.RWMutex
	checks map[string]Check
}

// Add adds a check. It replaces a check with the same name.
func (c *Checks) Add(name string, check Check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checks == nil {
		c.checks = map[string]Check{}
	}
	c.checks[name] = check
}

func (c *Checks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lines, passed := c.run(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !passed {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n"))
}

func (c *Checks) run(ctx context.Context) (lines []string, passed bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	passed = true
	for name, check := range c.checks {
		if err := check(ctx); err != nil {
			passed = false
			lines = append(lines, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		lines = append(lines, name+": ok")
	}
	slices.Sort(lines)
	return append(lines, map[bool]string{true: "ok", false: "not ok"}[passed]), passed
}
