package config

import (
	"strconv"
	"time"
)

const (
	// defaultGracePeriod is the pod's grace period if it is unknown.
	defaultGracePeriod = 60 * time.Second
	// exitReserve is the part of the pod's grace period that remains for the exit of this process.
	exitReserve = 3 * time.Second
	// closeReserve is the part of Grace that remains for closing clients after the tasks have stopped.
	closeReserve = 7 * time.Second
)

// grace returns the default of Grace for a pod's terminationGracePeriodSeconds. An invalid value counts as missing.
func grace(seconds string) time.Duration {
	period := defaultGracePeriod
	if n, err := strconv.ParseInt(seconds, 10, 32); err == nil && n > 0 {
		period = time.Duration(n) * time.Second
	}
	return max(period-exitReserve, period/2)
}

// TaskStopTimeout returns the time for the last flush and offset commit of a task, within Grace.
func (c *Config) TaskStopTimeout() time.Duration { return max(c.Grace-closeReserve, c.Grace/2) }
