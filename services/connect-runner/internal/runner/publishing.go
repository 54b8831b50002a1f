package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
	"github.com/weir-dev/weir/services/connect-runner/internal/outcome"
	"github.com/weir-dev/weir/services/connect-runner/internal/publish"
)

// Backoff between attempts to publish.
const (
	publishRetryMin = 250 * time.Millisecond
	publishRetryMax = 30 * time.Second
	publishTimeout  = 30 * time.Second
)

// publishing publishes the connector's newest task configs in the background. Older ones that wait are dropped.
type publishing struct {
	runner *Runner
	fail   func(error)
	offers chan jvm.Event
	cancel context.CancelFunc
	wait   sync.WaitGroup

	// published is the hash of the last published set; empty before the first.
	published string
	damper    damper
}

func newPublishing(r *Runner, fail func(error)) *publishing {
	ctx, cancel := context.WithCancel(context.Background())
	p := &publishing{runner: r, fail: fail, offers: make(chan jvm.Event, 1), cancel: cancel}
	p.wait.Go(func() { p.run(ctx) })
	return p
}

// offer replaces the task configs that wait to be published.
func (p *publishing) offer(event jvm.Event) {
	for {
		select {
		case p.offers <- event:
			return
		default:
		}
		select {
		case <-p.offers:
		default:
		}
	}
}

func (p *publishing) close() {
	p.cancel()
	p.wait.Wait()
}

func (p *publishing) run(ctx context.Context) {
	var event jvm.Event
	for {
		select {
		case <-ctx.Done():
			return
		case event = <-p.offers:
		}
		if event = p.damp(ctx, event); ctx.Err() != nil {
			return
		}
		retry := publishRetryMin
		for !p.publish(ctx, event) {
			select {
			case <-ctx.Done():
				return
			case event = <-p.offers:
				retry = publishRetryMin
			case <-time.After(retry):
				retry = min(2*retry, publishRetryMax)
			}
		}
	}
}

// damp delays a change if the connector changes its task configs too often. It returns the newest task configs.
func (p *publishing) damp(ctx context.Context, event jvm.Event) jvm.Event {
	reported := false
	for p.changes(event) {
		delay := p.damper.wait(time.Now())
		p.runner.metrics.publishDelay.Set(delay.Seconds())
		if delay == 0 {
			return event
		}
		if !reported {
			p.runner.Log.Warn("the connector changes its task configs too often; the change is delayed",
				"delay", delay.Round(time.Millisecond))
			reported = true
		}
		select {
		case <-ctx.Done():
			return event
		case event = <-p.offers:
		case <-time.After(delay):
		}
	}
	return event
}

// changes reports whether the event changes published task configs. The first set is not a change.
func (p *publishing) changes(event jvm.Event) bool {
	if p.published == "" {
		return false
	}
	encoded, err := contract.EncodeTaskConfigs(event.Configs)
	return err == nil && contract.TaskConfigsHash(encoded.Hashes) != p.published
}

// publish makes one attempt. It returns false if a retry is needed.
func (p *publishing) publish(ctx context.Context, event jvm.Event) bool {
	r := p.runner
	set, err := publish.NewSet(r.Config.Generation, event.Configs, r.Config.CompactTaskConfigs)
	set.ExactlyOnce, set.Sink = event.ExactlyOnce, event.Sink
	if err == nil {
		attempt, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		var changed bool
		if changed, err = r.Publisher.Publish(attempt, set); err == nil {
			p.report(event, len(set.Tasks.Files), changed)
			if p.published != "" && p.published != set.Hash {
				p.damper.published(time.Now())
			}
			p.published = set.Hash
			return true
		}
	}
	r.metrics.publishes.WithLabelValues("error").Inc()
	switch {
	case errors.Is(err, publish.ErrTooLarge) || publish.Permanent(err):
		p.fail(&outcome.Error{Reason: contract.ReasonTaskConfigsTooLarge, Err: err})
		return true
	case errors.Is(err, publish.ErrSuperseded):
		r.Log.Warn("task configs are not published: a newer generation is already published",
			"generation", r.Config.Generation)
		return true
	case ctx.Err() == nil:
		r.Log.Error("publish task configs; will retry", "error", err)
	}
	return false
}

// report updates log, metrics and readiness after a publish.
func (p *publishing) report(event jvm.Event, count int, changed bool) {
	r := p.runner
	took := time.Since(time.UnixMilli(event.RequestedAt))
	result := "unchanged"
	if changed {
		result = "written"
		r.metrics.publishSeconds.Observe(took.Seconds())
	}
	r.metrics.publishes.WithLabelValues(result).Inc()
	r.metrics.published.Set(float64(count))
	r.Log.Info("task configs published", "tasks", count, "result", result, "took", took.Round(time.Millisecond))
	r.state.Ready()
}
