package runner

import (
	"sync"
	"time"
)

// ending collects what is learnt about the end of the JVM, from several sides.
type ending struct {
	mu      sync.Mutex
	err     error
	stopped bool
	killed  bool
	timer   *time.Timer
	over    bool
}

// fail notes the first failure; others follow from it.
func (e *ending) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

func (e *ending) stoppedCleanly() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
}

// killAfter calls kill unless the JVM has ended before.
func (e *ending) killAfter(after time.Duration, kill func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil || e.over {
		return
	}
	e.timer = time.AfterFunc(after, func() {
		e.mu.Lock()
		over := e.over
		e.killed = e.killed || !over
		e.mu.Unlock()
		if !over {
			kill()
		}
	})
}

func (e *ending) ended() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	if e.timer != nil {
		e.timer.Stop()
	}
}
