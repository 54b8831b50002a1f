package reconcile

import (
	"sync"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
)

// pace limits how often the object of a key is written.
type pace struct {
	interval time.Duration
	now      func() time.Time

	mu   sync.Mutex
	last map[controller.Key]time.Time
}

func newPace(interval time.Duration, now func() time.Time) *pace {
	return &pace{interval: interval, now: now, last: map[controller.Key]time.Time{}}
}

// wait returns the time until the object may be written again, or 0.
func (p *pace) wait(key controller.Key) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, found := p.last[key]
	if !found {
		return 0
	}
	// A clock that was set back does not delay a write for longer.
	if passed := p.now().Sub(last); passed >= 0 && passed < p.interval {
		return p.interval - passed
	}
	delete(p.last, key)
	return 0
}

// passed reports whether the interval has passed since the first call for the key.
func (p *pace) passed(key controller.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, found := p.last[key]; !found {
		p.last[key] = p.now()
	}
	since := p.now().Sub(p.last[key])
	return since < 0 || since >= p.interval
}

// note records a write.
func (p *pace) note(key controller.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[key] = p.now()
}

// forget forgets the writes of an object that does not exist any more.
func (p *pace) forget(key controller.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, key)
}
