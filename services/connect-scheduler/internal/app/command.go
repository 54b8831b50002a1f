// Package app is the composition root of connect-scheduler: its command, its flags and the wiring of its controllers.
package app

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/reconcile"
)

// Config holds the flags that only connect-scheduler has.
type Config struct {
	// Workers is the number of KafkaConnectors that are reconciled in parallel, from 1 to 256.
	Workers int
	// MaxRestartingPods is the maximum number of pods that rollouts restart at the same time. 0: a tenth of the pods, from
	// 1 to 20.
	MaxRestartingPods int
	// AllowedVolumeTypes are the types of volumes that templates of KafkaConnectors and KafkaConnects may use.
	AllowedVolumeTypes []string
}

// Defaults returns the default flags. They suit a few hundred connectors.
func Defaults() Config {
	return Config{Workers: 8, AllowedVolumeTypes: spec.DefaultAllowedVolumeTypes()}
}

// AddFlags registers the flags.
func (c *Config) AddFlags(flags *pflag.FlagSet) {
	flags.IntVar(&c.Workers, "workers", c.Workers,
		"number of KafkaConnectors that are reconciled in parallel, from 1 to 256")
	flags.IntVar(&c.MaxRestartingPods, "max-restarting-pods", c.MaxRestartingPods,
		"maximum number of pods of all connectors that rollouts restart at the same time; "+
			"0: a tenth of the pods, from 1 to 20")
	flags.StringSliceVar(
		&c.AllowedVolumeTypes,
		"allowed-volume-types",
		c.AllowedVolumeTypes,
		"types of volumes that templates may use, as fields of a pod's volume; "+
			"types such as hostPath give access to the node",
	)
}

// Validate returns an error that names each invalid flag and its value.
func (c *Config) Validate() error {
	if c.Workers < 1 || c.Workers > 256 {
		return fmt.Errorf("--workers=%d: must be from 1 to 256", c.Workers)
	}
	if c.MaxRestartingPods < 0 {
		return fmt.Errorf("--max-restarting-pods=%d: must be at least 0", c.MaxRestartingPods)
	}
	if err := spec.ValidateVolumeTypes(c.AllowedVolumeTypes); err != nil {
		return fmt.Errorf("--allowed-volume-types: %w", err)
	}
	return nil
}

// Spec describes the service for pkg/app. It runs with the flags of c.
func Spec(c *Config) app.Spec {
	return app.Spec{
		Name:  decide.Manager,
		Short: "Runs each Kafka Connect connector and task in its own pod",
		Long: `connect-scheduler runs Kafka Connect without Connect workers. It creates one pod for each KafkaConnector and
one pod for each of its tasks. Kubernetes schedules, restarts and limits these pods.

For the KafkaConnector NAME it creates two StatefulSets. NAME-connector has one pod, which runs the connector and
publishes the task configs in the Secret NAME-tasks. NAME-tasks has one pod for each task config. A change restarts
only the pods that it affects. The status, conditions and events of a KafkaConnector report its state:

  kubectl get kafkaconnectors
  kubectl describe kafkaconnector NAME`,
		Scheme:   reconcile.Scheme(),
		Defaults: defaults,
		Flags:    c.AddFlags,
		Validate: c.Validate,
		Setup: func(ctx context.Context, env app.Env) (app.Components, error) {
			return reconcile.Setup(ctx, env, reconcile.Options{
				Workers:           c.Workers,
				MaxRestartingPods: c.MaxRestartingPods,
				Settings:          observed.Settings{AllowedVolumeTypes: c.AllowedVolumeTypes},
			})
		},
	}
}

// defaults sets the defaults of shared flags. The rate of requests is high because a rollout of many connectors is a
// burst of writes. The API Priority and Fairness of the API server protects other clients.
func defaults(o *app.Options) { o.QPS, o.Burst = 1000, 2000 }

// Command returns the root command of connect-scheduler.
func Command() *cobra.Command {
	c := Defaults()
	return app.Command(Spec(&c))
}
