package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

const (
	// workers, qps and burst are the defaults of the controller.
	workers = 4
	qps     = 1000
	burst   = 2000
)

// runBareClient creates the same PersistentVolumes while no controller acts on them. The client has the ServiceAccount
// of the service, its request rate and as many workers.
func runBareClient(ctx context.Context, o options, root string, created persistentVolumes,
) (took result, used load, err error) {
	e, err := newEnvironment(ctx, o, root)
	if err != nil {
		return took, load{}, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	connection, err := e.cp.ServiceAccount(ctx, env.Namespace, service)
	if err != nil {
		return took, load{}, err
	}
	connection.QPS, connection.Burst = qps, burst
	client, err := protobufClient(connection)
	if err != nil {
		return took, load{}, err
	}
	// The first request waits for the permissions and opens the connection.
	if err := e.until(ctx, "the permissions of the bare client", nil, func() error {
		_, err := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		return err
	}); err != nil {
		return took, load{}, err
	}
	before, err := env.ServerMetrics(ctx, e.cp)
	if err != nil {
		return took, load{}, err
	}
	bench.Logf("the bare client creates %d PersistentVolumes", len(created))
	began := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, pv := range created {
		group.Go(func() error {
			if _, err := client.CoreV1().PersistentVolumes().Create(groupCtx, pv, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("create %s: %w", pv.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return took, load{}, err
	}
	if err := e.until(ctx, "the PersistentVolumes", nil, func() error { return e.pvsExist(len(created)) }); err != nil {
		return took, load{}, err
	}
	took.created = time.Since(began)
	if err := e.pvsAvailable(ctx, len(created)); err != nil {
		return took, load{}, err
	}
	took.available = time.Since(began)
	used, err = e.loadSince(ctx, before, len(created))
	return took, used, err
}
