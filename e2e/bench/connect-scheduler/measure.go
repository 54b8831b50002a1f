package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
)

// idle looks on while nothing happens.
func (r *report) idle(ctx context.Context, o options, _ *environment, s *env.ConnectScheduler) error {
	env.Say("looking on for %s while nothing happens", o.idle)
	before, err := count(ctx, s)
	if err != nil {
		return err
	}
	if err := env.Wait(ctx, o.idle); err != nil {
		return err
	}
	after, err := count(ctx, s)
	if err != nil {
		return err
	}
	r.quiet = after.since(before)
	return nil
}

// touched is what a change of one connector took, and how many pods of others it restarted.
type touched struct {
	what   string
	took   time.Duration
	others int
	writes float64
}

// changes adds, changes and deletes one connector among all the others.
func (r *report) changes(ctx context.Context, o options, e *environment, s *env.ConnectScheduler) error {
	env.Say("adding, changing and deleting one connector")
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
				return errors.New("it is not Ready")
			}
			return nil
		}},
		{"change one task of one", changed, func() error {
			_, err := connectors.KafkaConnectors(o.namespace(changed)).Patch(ctx, name(changed), types.MergePatchType,
				[]byte(`{"spec":{"connectorConfig":{"fake.task.0.key":"value"}}}`), metav1.PatchOptions{})
			return err
		}, func() error {
			if c := e.connector(o.namespace(changed), name(changed)); c == nil || c.Generation < 2 || !isReady(c, o.tasks) {
				return errors.New("it is not Ready again")
			}
			return nil
		}},
		{"delete one", deleted, func() error {
			return connectors.KafkaConnectors(o.namespace(deleted)).Delete(ctx, name(deleted), metav1.DeleteOptions{})
		}, func() error {
			if e.connector(o.namespace(deleted), name(deleted)) != nil {
				return errors.New("it is still there")
			}
			for _, object := range e.pods.GetStore().List() {
				if pod := object.(*corev1.Pod); pod.Labels[contract.LabelConnector] == name(deleted) {
					return fmt.Errorf("pod %s is still there", pod.Name)
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
		if err := quiet(ctx, s); err != nil {
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
		wrote := after.since(before)
		env.Say("%s: %v", step.what, wrote.writes)
		r.touched = append(r.touched, touched{step.what, took, others, wrote.written()})
	}
	return nil
}

// failures lets tasks fail one after the other, and measures how soon each is in the status.
func (r *report) failures(ctx context.Context, o options, e *environment, s *env.ConnectScheduler) error {
	env.Say("letting %d tasks fail", o.failures)
	why := contract.Termination{Reason: contract.ReasonTaskFailed, Message: "the benchmark wants it so"}
	for n := range o.failures {
		i := n * max(1, o.connectors/max(1, o.failures)) % o.connectors
		if e.connector(o.namespace(i), name(i)) == nil {
			continue // the one that was deleted
		}
		task := n % o.tasks
		pod := name(i) + "-tasks-" + strconv.Itoa(task)
		began := time.Now()
		if err := env.Fail(ctx, e.kube, o.namespace(i), pod, why); err != nil {
			return err
		}
		if err := e.until(ctx, "the failure of "+pod, s, func() error {
			c := e.connector(o.namespace(i), name(i))
			if c == nil || len(c.Status.Tasks) <= task || c.Status.Tasks[task].State != "Failed" {
				return errors.New("it is not in the status")
			}
			return nil
		}); err != nil {
			return err
		}
		r.latencies = append(r.latencies, time.Since(began))
	}
	slices.Sort(r.latencies)
	return nil
}
