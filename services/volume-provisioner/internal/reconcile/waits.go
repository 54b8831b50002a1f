package reconcile

import (
	"sync"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
)

// waits records since when keys wait.
type waits struct {
	now func() time.Time

	mu    sync.Mutex
	since map[controller.Key]time.Time
}

func newWaits(now func() time.Time) *waits {
	return &waits{now: now, since: map[controller.Key]time.Time{}}
}

// passed reports whether a key has waited for a duration. The first call starts the wait.
func (w *waits) passed(key controller.Key, limit time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, found := w.since[key]; !found {
		w.since[key] = w.now()
	}
	waited := w.now().Sub(w.since[key])
	return waited < 0 || waited >= limit
}

// end ends the wait of a key.
func (w *waits) end(key controller.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.since, key)
}

// activity records when something was done.
type activity struct {
	now func() time.Time

	mu      sync.Mutex
	running int
	ended   time.Time
}

func newActivity(now func() time.Time) *activity { return &activity{now: now} }

func (a *activity) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running++
}

func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running--
	a.ended = a.now()
}

// busy reports whether it is being done, or was done within a duration.
func (a *activity) busy(within time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	since := a.now().Sub(a.ended)
	return a.running > 0 || since >= 0 && since < within
}
