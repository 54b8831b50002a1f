package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/pkg/leader"
	"github.com/weir-dev/weir/pkg/metrics"
)

// Run runs a service until ctx ends or one of its components fails. config is nil if the service is standalone.
func Run(ctx context.Context, s Spec, o Options, config *rest.Config, logger *slog.Logger) error {
	registry := metrics.NewRegistry()
	env := Env{Log: logger, Metrics: registry, Namespace: o.Namespace, Now: time.Now}
	// Events of the last reconciles are sent during the shutdown.
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRecording()
	if config != nil {
		config = metrics.CountWrites(config, registry)
		config.QPS, config.Burst = o.QPS, o.Burst
		config.UserAgent = s.Name
		client, err := kubernetes.NewForConfig(withProtobuf(config))
		if err != nil {
			return fmt.Errorf("create the Kubernetes client: %w", err)
		}
		kinds := s.Scheme
		if kinds == nil {
			kinds = scheme.Scheme
		}
		env.RESTConfig, env.Client = config, client
		env.Events = event.NewRecorder(recording, client, kinds, s.Name)
	}
	group, ctx := errgroup.WithContext(ctx)
	components, err := s.Setup(ctx, env)
	if err != nil {
		return fmt.Errorf("set up %s: %w", s.Name, err)
	}
	if s.NoLeaderElection && len(components.LeaderOnly) > 0 {
		return fmt.Errorf("set up %s: components of the leader need the leader election", s.Name)
	}
	for _, run := range components.Always {
		group.Go(func() error { return run(ctx) })
	}
	group.Go(func() error { return lead(ctx, s.Name, o, env.Client, components.LeaderOnly, logger) })
	group.Go(func() error { return serve(ctx, o, registry, components, logger) })
	group.Go(func() error { return serveProfiles(ctx, o, logger) })
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// withProtobuf requests protobuf, which costs the API server and the client less than JSON. Custom resources support
// only JSON.
func withProtobuf(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return config
}

// lead runs the runnables, with --leader-elect only while this replica holds the lease.
func lead(
	ctx context.Context, name string, o Options, client kubernetes.Interface, runnables []Runnable, logger *slog.Logger,
) error {
	if len(runnables) == 0 {
		return nil
	}
	work := func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, run := range runnables {
			group.Go(func() error { return run(ctx) })
		}
		return group.Wait()
	}
	if !o.LeaderElect || client == nil {
		return work(ctx)
	}
	logger.Info("waiting for the lease", "namespace", o.LeaseNamespace, "name", name)
	return leader.Run(ctx, leader.Options{
		Client: client, Namespace: o.LeaseNamespace, Name: name, Identity: o.Identity,
	}, work)
}
