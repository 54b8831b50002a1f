// Package app is the frame of every service: commands, flags, logs, metrics, health checks, leader election and
// graceful shutdown.
//
// A service with one process returns Command(Spec{...}) from its Command function. A service with several processes,
// such as a controller and a node agent, combines their commands:
//
//	func Command() *cobra.Command {
//		return app.Root("volume-provisioner", "local volumes for Kafka", long,
//			app.Command(app.Spec{Use: "controller", Name: "volume-provisioner", ...}),
//			app.Command(app.Spec{Use: "agent", Name: "volume-provisioner-agent", ...}),
//		)
//	}
//
// All commands have the same shared flags. Each has the identity of its Spec.Name: field manager, lease, event source
// and user agent. A Spec with Standalone runs without a Kubernetes client and has no flags for it. NoLeaderElection and
// NoNamespace remove the flags that would have no effect.
package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/pkg/log"
)

// Env is the environment of a service.
type Env struct {
	// Log is the service's logger.
	Log *slog.Logger
	// Metrics registers the service's metrics.
	Metrics prometheus.Registerer
	// RESTConfig is the configuration of Kubernetes clients. Writes of its clients are counted. It is nil if the
	// service is standalone.
	RESTConfig *rest.Config
	// Client is a client with RESTConfig; nil if the service is standalone.
	Client kubernetes.Interface
	// Events records events about the kinds of Spec.Scheme; nil if the service is standalone.
	Events events.EventRecorder
	// Namespace is the only namespace to watch; empty for all.
	Namespace string
	// Now returns the current time.
	Now func() time.Time
}

// Runnable runs until its context ends or it fails.
type Runnable func(context.Context) error

// Components are the parts of a running service.
type Components struct {
	// Always run in every replica: webhooks, informers, CSI.
	Always []Runnable
	// LeaderOnly run in one replica at a time: controllers.
	LeaderOnly []Runnable
	// ReadyChecks are the checks of /readyz, by name.
	ReadyChecks map[string]health.Check
	// ReadyPaths are additional paths of /readyz, for probes of manifests that were written for another program.
	ReadyPaths []string
}

// Spec describes a service, or one process of a service.
type Spec struct {
	// Name is the identity: field manager, lease, event source and user agent.
	Name string
	// Use is the name of the command; the default is Name.
	Use string
	// Short and Long are the help texts.
	Short, Long string
	// Standalone services have no Kubernetes client and no leader election.
	Standalone bool
	// NoLeaderElection services have no components with LeaderOnly, and no flags of the leader election.
	NoLeaderElection bool
	// NoNamespace services do not use Env.Namespace, and have no flag for it.
	NoNamespace bool
	// Scheme contains the kinds that events are recorded about; the default is client-go's scheme.
	Scheme *runtime.Scheme
	// Defaults changes the defaults of shared flags; optional.
	Defaults func(*Options)
	// Flags registers the service's own flags; optional.
	Flags func(*pflag.FlagSet)
	// Validate checks the service's own flags; optional. Its error names the flag, the value and the fix.
	Validate func() error
	// Setup builds the service.
	Setup func(context.Context, Env) (Components, error)
}

// Command returns the command that runs a service.
func Command(s Spec) *cobra.Command {
	shared := DefaultOptions()
	if s.Defaults != nil {
		s.Defaults(&shared)
	}
	command := &cobra.Command{
		Use: cmp.Or(s.Use, s.Name), Short: s.Short, Long: s.Long,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		Version:      version(),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := errors.Join(shared.Validate(), validate(s)); err != nil {
				return err
			}
			logger, err := shared.Log.New(os.Stderr)
			if err != nil {
				return err
			}
			log.CaptureKlog(logger)
			var config *rest.Config
			if !s.Standalone {
				if config, err = shared.restConfig(); err != nil {
					return err
				}
			}
			return Run(command.Context(), s, shared, config, logger)
		},
	}
	shared.AddFlags(command.Flags())
	if !s.Standalone {
		shared.AddKubernetesFlags(command.Flags())
		if !s.NoNamespace {
			shared.AddNamespaceFlag(command.Flags())
		}
		if !s.NoLeaderElection {
			shared.AddLeaderFlags(command.Flags())
		}
	}
	if s.Flags != nil {
		s.Flags(command.Flags())
	}
	return command
}

// Root returns a command whose subcommands are the processes of one service.
func Root(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{Use: use, Short: short, Long: long, SilenceUsage: true, Version: version()}
	root.AddCommand(commands...)
	return root
}

func validate(s Spec) error {
	if s.Validate == nil {
		return nil
	}
	return s.Validate()
}

// version returns the module version of the binary and, if known, its Git commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := cmp.Or(info.Main.Version, "(devel)")
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v += " " + setting.Value
		}
	}
	return v
}

// ExitCoder is an error with an exit code.
type ExitCoder interface {
	error
	ExitCode() int
}

// Main executes a command and returns the exit code: 0, or after an error that of the ExitCoder, else 1. The first
// SIGTERM or SIGINT shuts down
// gracefully; the second kills the process.
func Main(command *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := command.ExecuteContext(ctx)
	var coder ExitCoder
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coder):
		return coder.ExitCode()
	}
	return 1
}
