package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
)

// counts are what the service says of itself.
type counts struct {
	writes     map[string]float64
	renewals   float64
	reconciles float64
	waits      float64
	cpu        float64
}

func count(ctx context.Context, s *env.ConnectScheduler) (counts, error) {
	m, err := s.Metrics(ctx)
	if err != nil {
		return counts{}, err
	}
	writes, renewals := m.Writes()
	return counts{writes, renewals, m.Sum("weir_reconciles_total"), m.Sum("weir_reconcile_waits_total"), m.Sum("process_cpu_seconds_total")}, nil
}

func (c counts) since(before counts) counts {
	diff := counts{map[string]float64{}, c.renewals - before.renewals, c.reconciles - before.reconciles, c.waits - before.waits, c.cpu - before.cpu}
	for what, n := range c.writes {
		if n -= before.writes[what]; n > 0 {
			diff.writes[what] = n
		}
	}
	return diff
}

func (c counts) written() float64 {
	sum := 0.0
	for _, n := range c.writes {
		sum += n
	}
	return sum
}

// withService has connect-scheduler make everything. The first time it also measures what goes beyond the time to converge.
func withService(ctx context.Context, o options, root string, first bool, found *report, made *objects) (_ side, err error) {
	e, err := lay(ctx, o, root)
	if err != nil {
		return side{}, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	s, err := env.StartConnectScheduler(ctx, e.cp, root, "--workers="+strconv.Itoa(o.workers),
		"--kube-api-qps="+strconv.Itoa(o.qps), "--kube-api-burst="+strconv.Itoa(o.burst))
	if err != nil {
		return side{}, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := quiet(ctx, s); err != nil {
		return side{}, err
	}
	empty, _ := env.Memory(s.PID())
	start, err := count(ctx, s)
	if err != nil {
		return side{}, err
	}
	is, err := converge(ctx, o, e, s)
	if err != nil || !first {
		return is, err
	}
	found.empty = empty
	if err := quiet(ctx, s); err != nil {
		return is, err
	}
	end, err := count(ctx, s)
	if err != nil {
		return is, err
	}
	found.converging = end.since(start)
	found.full, found.peak = env.Memory(s.PID())
	if *made, err = collect(ctx, e.cp); err != nil {
		return is, err
	}
	for _, measure := range []func(context.Context, options, *environment, *env.ConnectScheduler) error{found.idle, found.changes, found.failures} {
		if err := measure(ctx, o, e, s); err != nil {
			return is, err
		}
	}
	return is, nil
}

// converge creates all KafkaConnectors and waits until all are Ready.
func converge(ctx context.Context, o options, e *environment, s *env.ConnectScheduler) (side, error) {
	env.Say("%s gets %d KafkaConnectors of %d tasks", service, o.connectors, o.tasks)
	is := side{}
	asked, err := requests(ctx, e.cp)
	if err != nil {
		return side{}, err
	}
	before, began := cpu(e.cp.Dir()), time.Now()
	creating := make(chan error, 1)
	go func() {
		creating <- each(o.workers, o.connectors, func(i int) error { return e.create(ctx, o, i) })
	}()
	if err := e.until(ctx, "all KafkaConnectors to be Ready", s, func() error {
		if is.podsReady == 0 && e.podsReady(o.pods()) == nil {
			is.podsReady = time.Since(began)
		}
		return e.connectorsReady(o.connectors, o.tasks)
	}); err != nil {
		return side{}, errors.Join(err, ended(creating))
	}
	is.converged = time.Since(began)
	is.cpu = spent(before, cpu(e.cp.Dir()))
	if is.requests, err = asked(); err != nil {
		return is, err
	}
	return is, <-creating
}

// requests begins to count what the API server is asked; what it returns tells how much that was.
func requests(ctx context.Context, cp *testkit.ControlPlane) (func() (map[string]float64, error), error) {
	before, err := env.ServerMetrics(ctx, cp)
	return func() (map[string]float64, error) {
		after, err := env.ServerMetrics(ctx, cp)
		if err != nil {
			return nil, err
		}
		asked, had := after.Requests(), before.Requests()
		for what := range asked {
			asked[what] -= had[what]
		}
		return asked, nil
	}, err
}

func name(i int) string { return fmt.Sprintf("connector-%04d", i) }

func (e *environment) create(ctx context.Context, o options, i int) error {
	workload := &connectv1.WorkloadSpec{Image: "ghcr.io/weir-dev/connect-runner:latest"}
	_, err := e.weir.IoV1().KafkaConnectors(o.namespace(i)).Create(ctx, &connectv1.KafkaConnector{
		ObjectMeta: metav1.ObjectMeta{Name: name(i)},
		Spec: connectv1.KafkaConnectorSpec{
			Connector: workload, Task: workload,
			WorkerConfigSecret: &corev1.LocalObjectReference{Name: "worker-config"},
			ConnectorConfig: map[string]string{
				"connector.class": "io.confluent.kafka.connect.datagen.DatagenConnector",
				"kafka.topic":     "users",
				"quickstart":      "users",
				"tasks.max":       strconv.Itoa(o.tasks),
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create KafkaConnector %s: %w", name(i), err)
	}
	return nil
}

// quiet waits until the service has written and reconciled nothing for a while.
func quiet(ctx context.Context, s *env.ConnectScheduler) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	last, err := count(ctx, s)
	if err != nil {
		return err
	}
	for still := 0; still < 3; {
		if err := env.Wait(ctx, time.Second); err != nil {
			return fmt.Errorf("wait for %s to be quiet: %w", service, err)
		}
		now, err := count(ctx, s)
		if err != nil {
			return err
		}
		if still++; now.written() != last.written() || now.reconciles != last.reconciles {
			still = 0
		}
		last = now
	}
	return nil
}
