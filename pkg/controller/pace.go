package controller

import (
	"sync"
	"time"
)

// Pace limits how often something is done for a key, for example how often a status is written that only reports
// progress. A reconciler calls Wait before, returns the result as RequeueAfter if it is not 0, and calls Note
// afterwards. It is safe for concurrent use.
type Pace struct {
	interval time.Duration
	now      func() time.Time

	mu   sync.Mutex
	last map[Key]time.Time
}

// NewPace returns a Pace of at most one action in an interval for each key.
func NewPace(interval time.Duration, now func() time.Time) *Pace {
	return &Pace{interval: interval, now: now, last: map[Key]time.Time{}}
}

// Wait returns the time until the interval since the last Note has passed, or 0.
func (p *Pace) Wait(key Key) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, found := p.last[key]
	if !found {
		return 0
	}
	// A clock that was set back does not delay anything for longer.
	if passed := p.now().Sub(last); passed >= 0 && passed < p.interval {
		return p.interval - passed
	}
	delete(p.last, key)
	return 0
}

// Note records the action.
func (p *Pace) Note(key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[key] = p.now()
}

// Forget forgets the actions for the key of an object that does not exist any more.
func (p *Pace) Forget(key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, key)
}
