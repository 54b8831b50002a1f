package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// modelBasePath is the base path of the models of agents. It does not exist.
const modelBasePath = "/mnt/data"

// parallelCreates is the number of sets that are created at the same time.
const parallelCreates = 16

// persistentVolumes are copies of the PersistentVolumes that the service has created.
type persistentVolumes []*corev1.PersistentVolume

// result has the times of one round from the creation of the first set.
type result struct {
	// created is the time until all PersistentVolumes exist, available until the binder has written the status of all of
	// them. ready is the time until all sets are Ready; the bare client has none.
	created, available, ready time.Duration
}

// withService runs the controller and the models of the agents on a fresh control plane.
func withService(ctx context.Context, o options, root string,
	act func(*environment, *env.Service) error) (err error) {
	e, err := newEnvironment(ctx, o, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	s, err := env.StartVolumeProvisioner(ctx, e.cp, root, modelBasePath, o.arguments()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	stop, err := e.startAgents(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return act(e, s)
}

// runService measures the time to create all volumes. In the first round it also counts writes and copies the
// PersistentVolumes.
func runService(ctx context.Context, o options, root string, first bool, r *report,
	created *persistentVolumes) (times result, err error) {
	err = withService(ctx, o, root, func(e *environment, s *env.Service) error {
		if err := waitUntilIdle(ctx, s); err != nil {
			return err
		}
		before, err := s.Metrics(ctx)
		if err != nil {
			return err
		}
		server, err := env.ServerMetrics(ctx, e.cp)
		if err != nil {
			return err
		}
		bench.Logf("%s creates %d volumes of %d sets", service, o.volumes(), o.sets)
		if times, err = e.converge(ctx, o, s); err != nil || !first {
			return err
		}
		if r.load, err = e.loadSince(ctx, server, o.volumes()); err != nil {
			return err
		}
		if err := waitUntilIdle(ctx, s); err != nil {
			return err
		}
		after, err := s.Metrics(ctx)
		if err != nil {
			return err
		}
		r.setCounts(before, after)
		for _, object := range e.pvs.GetStore().List() {
			pv := object.(*corev1.PersistentVolume)
			*created = append(*created, &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: pv.Name, Labels: pv.Labels, Annotations: pv.Annotations}, Spec: pv.Spec,
			})
		}
		return nil
	})
	return times, err
}

// converge creates all sets and waits until they are Ready.
func (e *environment) converge(ctx context.Context, o options, s *env.Service) (times result, err error) {
	began := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		creates, createsCtx := errgroup.WithContext(groupCtx)
		creates.SetLimit(parallelCreates)
		for i := range o.sets {
			creates.Go(func() error { return e.create(createsCtx, o, modelBasePath, i) })
		}
		return creates.Wait()
	})
	group.Go(func() error {
		return e.until(groupCtx, "all sets to be Ready", s, func() error {
			if err := e.pvsExist(o.volumes()); err != nil {
				return err
			}
			if times.created == 0 {
				times.created = time.Since(began)
			}
			if err := e.pvsSeen(o.volumes()); err != nil {
				return err
			}
			if times.available == 0 {
				times.available = time.Since(began)
			}
			return e.setsReady(o.sets)
		})
	})
	err = group.Wait()
	times.ready = time.Since(began)
	return times, err
}

// measureMany measures the controller with many volumes, and then while nothing changes.
func (r *report) measureMany(ctx context.Context, o options, root string) error {
	return withService(ctx, o, root, func(e *environment, s *env.Service) error {
		r.empty, _ = bench.Memory(s.PID())
		bench.Logf("%s creates %d volumes on %d nodes", service, o.volumes(), o.nodes)
		limited, cancel := context.WithTimeout(ctx, o.manyLimit)
		defer cancel()
		times, err := e.converge(limited, o, s)
		r.manyCreated = int(e.created.Load())
		if ctx.Err() != nil || err != nil && limited.Err() == nil {
			return err
		}
		if err != nil {
			bench.Logf("stopped after %s: %v", o.manyLimit, err)
			r.full, r.peak = bench.Memory(s.PID())
			return nil
		}
		r.many, r.manyReady = times.created, times.ready
		if err := waitUntilIdle(ctx, s); err != nil {
			return err
		}
		r.full, r.peak = bench.Memory(s.PID())
		if r.idle, err = idle(ctx, s, o.idle); err != nil {
			return err
		}
		r.settled, _ = bench.Memory(s.PID())
		return nil
	})
}

// measureAgent measures a real agent with all of its directories on this machine.
func (r *report) measureAgent(ctx context.Context, o options, root string) (err error) {
	o = o.with(o.directories)
	o.nodes = 1
	e, err := newEnvironment(ctx, o, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	// Not in the directory of the control plane, which may be in memory.
	basePath, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(basePath)
	nodes, err := e.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	s, err := env.StartVolumeProvisioner(ctx, e.cp, root, basePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	agent, err := env.StartVolumeAgent(ctx, e.cp, root, nodes.Items[0].Name, basePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.Stop()) }()
	bench.Logf("the real agent creates %d directories", o.volumes())
	began := time.Now()
	for i := range o.sets {
		if err := e.create(ctx, o, basePath, i); err != nil {
			return err
		}
	}
	ready := func() error { return e.setsReady(o.sets) }
	if err := e.until(ctx, "the directories of the agent", agent, ready); err != nil {
		return err
	}
	r.agent.prepared = time.Since(began)
	entries, err := os.ReadDir(basePath)
	if err != nil {
		return err
	}
	r.agent.directories = len(entries)
	if r.agent.idle, err = idle(ctx, agent, o.idle); err != nil {
		return err
	}
	r.agent.memory, r.agent.peak = bench.Memory(agent.PID())
	return nil
}
