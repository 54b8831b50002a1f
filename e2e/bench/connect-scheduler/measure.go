package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// measureIdle counts writes and reconciles while nothing changes.
func (r *report) measureIdle(ctx context.Context, o options, _ *environment, s *env.Service) error {
	bench.Logf("measuring an idle service for %s", o.idle)
	before, err := count(ctx, s)
	if err != nil {
		return err
	}
	if err := bench.Sleep(ctx, o.idle); err != nil {
		return err
	}
	after, err := count(ctx, s)
	if err != nil {
		return err
	}
	r.idle = after.since(before)
	return nil
}

// change is the effect of one change to one connector.
type change struct {
	name string
	took time.Duration
	// others is the number of restarted pods of other connectors.
	others int
	writes float64
}

// measureChanges adds, changes and deletes one connector among all others.
func (r *report) measureChanges(ctx context.Context, o options, e *environment, s *env.Service) error {
	bench.Logf("adding, changing and deleting one connector")
	added, changed, deleted := o.connectors, o.connectors/2, o.connectors/3
	connectors := e.weir.IoV1()
	for _, step := range []struct {
		what string
		of   int
		act  func() error
		done func() error
	}{
		{"add one", added, func() error { return e.create(ctx, o, added) }, func() error {
			if c := e.connector(o.namespace(added), name(added)); c == nil || !isReady(c, o.tasks) {
				return errors.New("the connector is not Ready")
			}
			return nil
		}},
		{"change one task of one", changed, func() error {
			_, err := connectors.KafkaConnectors(o.namespace(changed)).Patch(ctx, name(changed), types.MergePatchType,
				[]byte(`{"spec":{"connectorConfig":{"fake.task.0.key":"value"}}}`), metav1.PatchOptions{})
			return err
		}, func() error {
			c := e.connector(o.namespace(changed), name(changed))
			if c == nil || c.Generation < 2 || !isReady(c, o.tasks) {
				return errors.New("the connector is not Ready again")
			}
			return nil
		}},
		{"delete one", deleted, func() error {
			return connectors.KafkaConnectors(o.namespace(deleted)).Delete(ctx, name(deleted), metav1.DeleteOptions{})
		}, func() error {
			if e.connector(o.namespace(deleted), name(deleted)) != nil {
				return errors.New("the connector still exists")
			}
			for _, object := range e.pods.GetStore().List() {
				if pod := object.(*corev1.Pod); pod.Labels[contract.LabelConnector] == name(deleted) {
					return fmt.Errorf("pod %s still exists", pod.Name)
				}
			}
			return nil
		}},
	} {
		uids := e.uids(name(step.of))
		before, err := count(ctx, s)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := step.act(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := e.until(ctx, step.what, s, step.done); err != nil {
			return err
		}
		took := time.Since(began)
		if err := waitUntilIdle(ctx, s); err != nil {
			return err
		}
		after, err := count(ctx, s)
		if err != nil {
			return err
		}
		others, now := 0, e.uids(name(step.of))
		for pod, uid := range uids {
			if now[pod] != uid {
				others++
			}
		}
		written := after.since(before)
		bench.Logf("%s: %v", step.what, written.writes)
		r.changes = append(r.changes, change{step.what, took, others, written.totalWrites()})
	}
	return nil
}

// measureFailures makes tasks fail one after the other and measures the time until each failure is in the status.
func (r *report) measureFailures(ctx context.Context, o options, e *environment, s *env.Service) error {
	bench.Logf("making %d tasks fail", o.failures)
	cause := contract.Termination{Reason: contract.ReasonTaskFailed, Message: "failed by the benchmark"}
	for n := range o.failures {
		i := n * max(1, o.connectors/max(1, o.failures)) % o.connectors
		if e.connector(o.namespace(i), name(i)) == nil {
			continue // the one that was deleted
		}
		task := n % o.tasks
		pod := name(i) + "-tasks-" + strconv.Itoa(task)
		began := time.Now()
		if err := env.Fail(ctx, e.kube, o.namespace(i), pod, cause); err != nil {
			return err
		}
		if err := e.until(ctx, "the failure of "+pod, s, func() error {
			c := e.connector(o.namespace(i), name(i))
			if c == nil || len(c.Status.Tasks) <= task || c.Status.Tasks[task].State != connectv1.PodFailed {
				return errors.New("the failure is not in the status")
			}
			return nil
		}); err != nil {
			return err
		}
		r.latencies = append(r.latencies, time.Since(began).Seconds())
	}
	return nil
}
