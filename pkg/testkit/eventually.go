package testkit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// permanent is an error that ends polling.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error with which Poll and Eventually fail immediately.
func Permanent(err error) error { return permanent{err} }

// Eventually waits until condition returns nil. It fails the test with the last error when the deadline has passed.
func Eventually(t testing.TB, deadline time.Duration, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := poll(ctx, "the condition", 50*time.Millisecond, condition); err != nil {
		t.Fatal(err)
	}
}

// Poll waits until condition returns nil. If ctx ends first, the error contains the last error of condition.
func Poll(ctx context.Context, what string, condition func(context.Context) error) error {
	return poll(ctx, what, 50*time.Millisecond, condition)
}

// PollEvery is Poll with an interval, for expensive conditions.
func PollEvery(ctx context.Context, interval time.Duration, what string, condition func(context.Context) error) error {
	return poll(ctx, what, interval, condition)
}

func poll(ctx context.Context, what string, interval time.Duration, condition func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	start := time.Now()
	var last error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if stop := (permanent{}); errors.As(err, &stop) {
			return fmt.Errorf("wait for %s: %w", what, stop.error)
		}
		// An error caused by the end of ctx is less useful than the error before it.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf(
				"wait for %s: %w after %s: %w",
				what,
				ctx.Err(),
				time.Since(start).Round(time.Millisecond),
				last,
			)
		case <-ticker.C:
		}
	}
}
