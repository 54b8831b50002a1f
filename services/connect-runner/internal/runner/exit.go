package runner

import (
	"sync"
	"time"
)

// exitState collects what several goroutines learn about the end of the JVM.
type exitState struct {
	mu      sync.Mutex
	err     error
	stopped bool
	killed  bool
	timer   *time.Timer
	exited  bool
}

// fail records the first failure. Later failures are consequences of it.
func (e *exitState) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

// stoppedGracefully records that the JVM stopped as requested.
func (e *exitState) stoppedGracefully() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
}

// killAfter calls kill after a delay unless the JVM has exited.
func (e *exitState) killAfter(after time.Duration, kill func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil || e.exited {
		return
	}
	e.timer = time.AfterFunc(after, func() {
		e.mu.Lock()
		exited := e.exited
		e.killed = e.killed || !exited
		e.mu.Unlock()
		if !exited {
			kill()
		}
	})
}

// jvmExited cancels killAfter.
func (e *exitState) jvmExited() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exited = true
	if e.timer != nil {
		e.timer.Stop()
	}
}
