// Package config is connect-scheduler's command line.
package config

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/reconcile"
)

// Config are the flags that only connect-scheduler has.
type Config struct {
	// Workers is how many KafkaConnectors are reconciled at the same time.
	Workers int
}

// Defaults are those that suit a few hundred connectors.
func Defaults() Config { return Config{Workers: 8} }

// AddFlags registers the flags.
func (c *Config) AddFlags(flags *pflag.FlagSet) {
	flags.IntVar(&c.Workers, "workers", c.Workers, "KafkaConnectors that are reconciled at the same time")
}

// Validate names the flags that cannot be used.
func (c *Config) Validate() error {
	if c.Workers < 1 || c.Workers > 256 {
		return fmt.Errorf("--workers=%d: must be from 1 to 256", c.Workers)
	}
	return nil
}

// Spec describes the service, to be run with c.
func Spec(c *Config) app.Spec {
	return app.Spec{
		Name:  decide.Manager,
		Short: "Runs every Kafka Connect connector and task in a pod of its own",
		Long: `connect-scheduler runs Kafka Connect without Connect workers: it turns every KafkaConnector into one pod for the
connector and one for each of its tasks, and lets Kubernetes schedule, restart and limit them.

For each KafkaConnector called NAME it makes the StatefulSets NAME-connector (one pod, which computes the task
configs and publishes them in the Secret NAME-tasks) and NAME-tasks (one pod for each task config). A change restarts
just the pods that it concerns. What it sees goes into the KafkaConnector's status, conditions and events:

  kubectl get kafkaconnectors
  kubectl describe kafkaconnector NAME`,
		Scheme:   reconcile.Scheme(),
		Flags:    c.AddFlags,
		Validate: c.Validate,
		Setup: func(ctx context.Context, env app.Env) (app.Components, error) {
			return reconcile.Setup(ctx, env, c.Workers)
		},
	}
}

// Command is connect-scheduler's root command.
func Command() *cobra.Command {
	c := Defaults()
	return app.Command(Spec(&c))
}
