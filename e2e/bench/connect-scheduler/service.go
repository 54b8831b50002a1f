package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// counts is a snapshot of the metrics of the service.
type counts struct {
	// writes counts API writes by verb and resource, without lease renewals.
	writes   map[string]float64
	renewals float64
	// reconciles includes retries. waits counts reconciles delayed until the caches had observed own writes.
	reconciles, waits float64
	// cpu is in seconds.
	cpu float64
}

func count(ctx context.Context, s *env.Service) (counts, error) {
	m, err := s.Metrics(ctx)
	if err != nil {
		return counts{}, err
	}
	writes, renewals := m.Writes()
	return counts{
		writes: writes, renewals: renewals,
		reconciles: m.Sum("weir_reconciles_total"), waits: m.Sum("weir_reconciles_deferred_total"),
		cpu: m.CPUSeconds(),
	}, nil
}

// since returns the difference between two snapshots.
func (c counts) since(before counts) counts {
	diff := counts{
		writes: map[string]float64{}, renewals: c.renewals - before.renewals,
		reconciles: c.reconciles - before.reconciles, waits: c.waits - before.waits, cpu: c.cpu - before.cpu,
	}
	for kind, n := range c.writes {
		if n -= before.writes[kind]; n > 0 {
			diff.writes[kind] = n
		}
	}
	return diff
}

func (c counts) totalWrites() float64 {
	sum := 0.0
	for _, n := range c.writes {
		sum += n
	}
	return sum
}

// runService measures the time to converge with connect-scheduler. In the first round it also takes all other
// measurements and collects the created objects.
func runService(
	ctx context.Context,
	o options,
	root string,
	first bool,
	r *report,
	created *objects,
) (_ side, err error) {
	e, err := newEnvironment(ctx, o, root)
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
	if err := waitUntilIdle(ctx, s); err != nil {
		return side{}, err
	}
	empty, _ := bench.Memory(s.PID())
	start, err := count(ctx, s)
	if err != nil {
		return side{}, err
	}
	result, err := converge(ctx, o, e, s)
	if err != nil || !first {
		return result, err
	}
	r.empty = empty
	if err := waitUntilIdle(ctx, s); err != nil {
		return result, err
	}
	end, err := count(ctx, s)
	if err != nil {
		return result, err
	}
	r.converging = end.since(start)
	r.full, r.peak = bench.Memory(s.PID())
	if o.cost != "" {
		requests := 0.0
		for _, n := range result.requests {
			requests += n
		}
		return result, bench.Cost{
			Objects: o.connectors, Seconds: result.converged.Seconds(), CPUSeconds: r.converging.cpu,
			OtherCPUSeconds: bench.Total(result.cpu, service).Seconds(), Requests: requests, EmptyMiB: r.empty, MiB: r.full,
		}.Write(o.cost)
	}
	if *created, err = collect(ctx, e.cp); err != nil {
		return result, err
	}
	for _, measure := range []func(context.Context, options, *environment, *env.Service) error{
		r.measureIdle, r.measureChanges, r.measureFailures,
	} {
		if err := measure(ctx, o, e, s); err != nil {
			return result, err
		}
	}
	return result, nil
}

// converge creates all KafkaConnectors and waits until all are Ready.
func converge(ctx context.Context, o options, e *environment, s *env.Service) (side, error) {
	bench.Logf("creating %d KafkaConnectors with %d tasks each for %s", o.connectors, o.tasks, service)
	result := side{}
	requestsSince, err := countRequests(ctx, e.cp)
	if err != nil {
		return side{}, err
	}
	before, began := bench.Programs(e.cp.Dir()), time.Now()
	creating := make(chan error, 1)
	go func() {
		creating <- parallel(o.workers, o.connectors, func(i int) error { return e.create(ctx, o, i) })
	}()
	if err := e.until(ctx, "all KafkaConnectors to be Ready", s, func() error {
		if result.podsReady == 0 && e.podsReady(o.pods()) == nil {
			result.podsReady = time.Since(began)
		}
		return e.connectorsReady(o.connectors, o.tasks)
	}); err != nil {
		return side{}, errors.Join(err, resultSoFar(creating))
	}
	result.converged = time.Since(began)
	result.cpu = bench.Spent(before, bench.Programs(e.cp.Dir()))
	if result.requests, err = requestsSince(); err != nil {
		return result, err
	}
	if result.started, err = lastStart(ctx, e.cp, began); err != nil {
		return result, err
	}
	return result, <-creating
}

// lastStart returns the time from began until the last StatefulSet of a connector, not of its tasks, was created.
func lastStart(ctx context.Context, cp *testkit.ControlPlane, began time.Time) (last time.Duration, err error) {
	options := metav1.ListOptions{LabelSelector: contract.LabelConnector}
	sets, err := cp.Client().AppsV1().StatefulSets("").List(ctx, options)
	if err != nil {
		return 0, fmt.Errorf("list StatefulSets: %w", err)
	}
	for _, set := range sets.Items {
		if strings.HasSuffix(set.Name, "-connector") {
			last = max(last, set.CreationTimestamp.Sub(began.Truncate(time.Second)))
		}
	}
	return last, nil
}

// countRequests starts to count API requests. The returned function returns the number of requests since then.
func countRequests(ctx context.Context, cp *testkit.ControlPlane) (func() (map[string]float64, error), error) {
	before, err := env.ServerMetrics(ctx, cp)
	return func() (map[string]float64, error) {
		after, err := env.ServerMetrics(ctx, cp)
		if err != nil {
			return nil, err
		}
		requests, earlier := after.Requests(), before.Requests()
		for kind := range requests {
			requests[kind] -= earlier[kind]
		}
		return requests, nil
	}, err
}

func name(i int) string { return fmt.Sprintf("connector-%04d", i) }

// create creates the KafkaConnector number i.
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

// waitUntilIdle waits until the service has neither written nor reconciled for 3 seconds.
func waitUntilIdle(ctx context.Context, s *env.Service) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	last, err := count(ctx, s)
	if err != nil {
		return err
	}
	for idle := 0; idle < 3; {
		if err := bench.Sleep(ctx, time.Second); err != nil {
			return fmt.Errorf("wait until %s is idle: %w", service, err)
		}
		now, err := count(ctx, s)
		if err != nil {
			return err
		}
		if idle++; now.totalWrites() != last.totalWrites() || now.reconciles != last.reconciles {
			idle = 0
		}
		last = now
	}
	return nil
}
