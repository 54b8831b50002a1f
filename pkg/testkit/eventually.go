package testkit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// final is an error that waiting longer does not cure.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Final makes Poll and Eventually give up at once with this error.
func Permanent(err error) error { return final{err} }

// Eventually waits until the condition returns nil, and fails the test with its last error when the deadline has passed.
func Eventually(t testing.TB, deadline time.Duration, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := poll(ctx, "the condition", 50*time.Millisecond, condition); err != nil {
		t.Fatal(err)
	}
}

// Poll waits until the condition returns nil, or the context ends; its error then holds the condition's last one.
func Poll(ctx context.Context, what string, condition func(context.Context) error) error {
	return poll(ctx, what, 50*time.Millisecond, condition)
}

// PollEvery is Poll for conditions that cost more to look at.
func PollEvery(ctx context.Context, interval time.Duration, what string, condition func(context.Context) error) error {
	return poll(ctx, what, interval, condition)
}

func poll(ctx context.Context, what string, interval time.Duration, condition func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	began := time.Now()
	var last error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if stop := (final{}); errors.As(err, &stop) {
			return fmt.Errorf("wait for %s: %w", what, stop.error)
		}
		// What the end of the context made of the last call says less than the call before it.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w after %s: %w", what, ctx.Err(), time.Since(began).Round(time.Millisecond), last)
		case <-ticker.C:
		}
	}
}
