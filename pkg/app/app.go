// Package app is the frame of every service: flags, logs, metrics, health, leader election, and an end in good order.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/pkg/leader"
	"github.com/weir-dev/weir/pkg/log"
	"github.com/weir-dev/weir/pkg/metrics"
)

// Env is what a service is given to work with.
type Env struct {
	// Log is the service's logger.
	Log *slog.Logger
	// Metrics is where the service registers its metrics.
	Metrics prometheus.Registerer
	// REST is the connection to the API; every write made through it is counted.
	RESTConfig *rest.Config
	// Kube is a client made from REST.
	Client kubernetes.Interface
	// Events records events about the kinds of Spec.Scheme.
	Events events.EventRecorder
	// Namespace that the service watches; all where it is empty.
	Namespace string
	// Now is the clock.
	Now func() time.Time
}

// Task runs until its context ends.
type Runnable func(context.Context) error

// Plan is what a service runs.
type Components struct {
	// Always runs in every replica: webhooks, informers, CSI.
	Always []Runnable
	// Leading runs in one replica at a time: controllers.
	LeaderOnly []Runnable
	// Ready are the checks behind /readyz.
	ReadyChecks map[string]health.Check
	// ReadyPaths are more paths that answer as /readyz does, for probes that were written for what the service replaces.
	ReadyPaths []string
}

// Spec describes a service.
type Spec struct {
	// Name of the service: of its binary, its field manager, its lease.
	Name string
	// Short and Long are what --help teaches.
	Short, Long string
	// Scheme knows the kinds that events are recorded about; client-go's own where it is nil.
	Scheme *runtime.Scheme
	// Flags registers the service's own flags; optional.
	Flags func(*pflag.FlagSet)
	// Validate checks them; an error names the flag, the value and the cure; optional.
	Validate func() error
	// Setup builds the service.
	Setup func(context.Context, Env) (Components, error)
}

// Command makes the root command of a service.
func Command(s Spec) *cobra.Command {
	common := DefaultOptions()
	command := &cobra.Command{
		Use: s.Name, Short: s.Short, Long: s.Long,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := errors.Join(common.Validate(), validate(s)); err != nil {
				return err
			}
			logger, err := common.Log.New(os.Stderr)
			if err != nil {
				return err
			}
			log.CaptureKlog(logger)
			config, err := common.restConfig()
			if err != nil {
				return err
			}
			return Run(command.Context(), s, common, config, logger)
		},
	}
	common.AddFlags(command.Flags())
	if s.Flags != nil {
		s.Flags(command.Flags())
	}
	return command
}

func validate(s Spec) error {
	if s.Validate == nil {
		return nil
	}
	return s.Validate()
}

// Main runs a command until it ends or the process is told to stop, and returns the exit code. The first SIGTERM or SIGINT
// ends it in good order, the second one at once.
func Main(command *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	if err := command.ExecuteContext(ctx); err != nil {
		return 1
	}
	return 0
}

// Run runs a service on the given connection until ctx ends or one of its tasks fails.
func Run(ctx context.Context, s Spec, o Options, config *rest.Config, logger *slog.Logger) error {
	registry := metrics.NewRegistry()
	config = metrics.CountWrites(config, registry)
	config.QPS, config.Burst = o.QPS, o.Burst
	config.UserAgent = s.Name
	kube, err := kubernetes.NewForConfig(withProtobuf(config))
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	kinds := s.Scheme
	if kinds == nil {
		kinds = scheme.Scheme
	}
	// Events about the last reconciles are still sent while the work drains.
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRecording()
	group, ctx := errgroup.WithContext(ctx)
	plan, err := s.Setup(ctx, Env{
		Log: logger, Metrics: registry, RESTConfig: config, Client: kube, Namespace: o.Namespace, Now: time.Now,
		Events: event.NewRecorder(recording, kube, kinds, s.Name),
	})
	if err != nil {
		return fmt.Errorf("set up %s: %w", s.Name, err)
	}
	for _, task := range plan.Always {
		group.Go(func() error { return task(ctx) })
	}
	group.Go(func() error { return lead(ctx, s.Name, o, kube, plan.LeaderOnly, logger) })
	group.Go(func() error { return serve(ctx, o, registry, plan, logger) })
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// withProtobuf asks for the form that costs the API server and us the least; custom resources do not have it.
func withProtobuf(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return config
}

func lead(ctx context.Context, name string, o Options, kube kubernetes.Interface, tasks []Runnable, logger *slog.Logger) error {
	if len(tasks) == 0 {
		return nil
	}
	work := func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, task := range tasks {
			group.Go(func() error { return task(ctx) })
		}
		return group.Wait()
	}
	if !o.LeaderElect {
		return work(ctx)
	}
	logger.Info("waiting for the lease", "namespace", o.LeaseNamespace, "name", name)
	return leader.Run(ctx, leader.Options{Client: kube, Namespace: o.LeaseNamespace, Name: name, Identity: o.Identity}, work)
}
