package runner

import "time"

const (
	// dampingStart is the delay after the first change.
	dampingStart = time.Second
	// dampingMax is the maximum delay of a change.
	dampingMax = 5 * time.Minute
	// dampingReset is the time without changes, in addition to twice the current delay, after which the delay is reset.
	dampingReset = time.Minute
)

// damper delays the changes of a connector that reconfigures its tasks too often: each change restarts tasks. The
// first change is not delayed. The delay doubles with each further change, up to dampingMax.
type damper struct {
	last  time.Time
	delay time.Duration
}

// wait returns the time until a change may be published.
func (d *damper) wait(now time.Time) time.Duration {
	if d.last.IsZero() || now.Sub(d.last) > dampingReset+2*d.delay {
		return 0
	}
	return max(0, d.last.Add(d.delay).Sub(now))
}

// published records a published change.
func (d *damper) published(now time.Time) {
	switch {
	case d.last.IsZero() || now.Sub(d.last) > dampingReset+2*d.delay:
		d.delay = dampingStart
	default:
		d.delay = min(2*d.delay, dampingMax)
	}
	d.last = now
}
