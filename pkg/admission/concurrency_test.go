package admission_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/admission"
)

// reviewOf returns a review of the object with the given name.
func reviewOf(name string) string {
	return strings.Replace(validReview, `"name":"a"`, `"name":"`+name+`"`, 1)
}

func allowAll(context.Context, admission.Request) admission.Response {
	return admission.Response{Allowed: true}
}

func TestReviewsBeyondTheLimitWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	const reviews, limit = 1000, 20
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		h := admission.Handler(admission.Options{
			MaxConcurrent: limit, Fallback: fallback,
			Review: func(ctx context.Context, r admission.Request) admission.Response {
				n := running.Add(1)
				defer running.Add(-1)
				for {
					seen := most.Load()
					if n <= seen || most.CompareAndSwap(seen, n) {
						break
					}
				}
				<-time.After(100 * time.Millisecond)
				return allowAll(ctx, r)
			},
		})
		var denied atomic.Int64
		var all sync.WaitGroup
		for range reviews {
			all.Go(func() {
				if !decode(t, post(t, h, "", validReview)).Response.Allowed {
					denied.Add(1)
				}
			})
		}
		all.Wait()
		assert.Zero(t, denied.Load(), "5 s of work are done before the deadline")
		assert.EqualValues(t, limit, most.Load(), "reviews that ran at the same time")
	})
}

func TestReviewsStartInTheOrderOfTheirArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var order []string
		h := admission.Handler(admission.Options{
			MaxConcurrent: 1, Fallback: fallback,
			Review: func(ctx context.Context, r admission.Request) admission.Response {
				order = append(order, r.Name)
				<-time.After(time.Millisecond)
				return allowAll(ctx, r)
			},
		})
		var all sync.WaitGroup
		var want []string
		for i := range 10 {
			name := fmt.Sprintf("pod-%d", i)
			want = append(want, name)
			all.Go(func() { post(t, h, "", reviewOf(name)) })
			synctest.Wait() // until the review runs or waits
		}
		all.Wait()
		require.Equal(t, want, order)
	})
}

func TestReviewThatCannotStartInTimeGetsTheFallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var started atomic.Int64
		end := make(chan struct{})
		h := admission.Handler(admission.Options{
			MaxConcurrent: 1, Fallback: fallback, Deadline: time.Second,
			Immediate: func(r admission.Request) (admission.Response, bool) {
				return admission.Response{Allowed: true}, r.Name == "immediate"
			},
			// The first review ignores its context and keeps its place after its deadline.
			Review: func(ctx context.Context, r admission.Request) admission.Response {
				started.Add(1)
				<-end
				return allowAll(ctx, r)
			},
		})
		var all sync.WaitGroup
		messages := make([]string, 2)
		for i := range messages {
			all.Go(func() { messages[i] = decode(t, post(t, h, "", validReview)).Response.Result.Message })
			synctest.Wait()
		}
		start := time.Now()
		immediate := decode(t, post(t, h, "", reviewOf("immediate")))
		assert.True(t, immediate.Response.Allowed)
		assert.Zero(t, time.Since(start), "a request that needs no I/O does not wait")

		all.Wait()
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, []string{admission.ErrDeadlineExceeded.Error(), admission.ErrNotStarted.Error()}, messages)
		assert.EqualValues(t, 1, started.Load(), "a review that is too late does not start")

		close(end)
		synctest.Wait()
		assert.True(t, decode(t, post(t, h, "", validReview)).Response.Allowed, "the place is free again")
	})
}

func TestFallbackRespondsAfterAPanicOfImmediate(t *testing.T) {
	t.Parallel()
	h := admission.Handler(admission.Options{
		Fallback: fallback, Review: allowAll,
		Immediate: func(admission.Request) (admission.Response, bool) { panic("no") },
	})
	review := decode(t, post(t, h, "", validReview))
	assert.False(t, review.Response.Allowed)
	assert.EqualValues(t, http.StatusTooManyRequests, review.Response.Result.Code)
	assert.Contains(t, review.Response.Result.Message, "panicked: no")
}
