// Package app is the composition root of drain-cleaner: its command and the wiring of its packages.
package app

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// strimziStartCommand is the command of Strimzi's Drain Cleaner pods. Their manifests pass it as the first argument.
const strimziStartCommand = "/opt/strimzi/bin/drain_cleaner_run.sh"

const long = `drain-cleaner is an admission webhook for pods/eviction. It denies the eviction of a Kafka pod while it
would take a partition below min.insync.replicas, the KRaft quorum below a majority, or a second task of a connector
down. kubectl drain prints the reason, retries every 5 s and completes in one command.

Pods with Strimzi's labels are handed to Strimzi's operator. The environment variables of Strimzi's Drain Cleaner have
the same meaning here. A KafkaDrainPolicy that selects a pod takes precedence over them.`

// Command returns the root command.
func Command() *cobra.Command {
	c := FromEnv(os.Getenv)
	command := app.Command(Spec(&c, nil))
	command.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) == 1 && args[0] == strimziStartCommand {
			return nil
		}
		return fmt.Errorf("unknown argument %q; drain-cleaner takes only flags and environment variables", args[0])
	}
	return command
}

// Spec describes the service for pkg/app. listening is called with the address that reviews are served on. It may be
// nil.
func Spec(c *Config, listening func(net.Addr)) app.Spec {
	kinds := runtime.NewScheme()
	// AddToScheme cannot fail for a new scheme.
	_ = scheme.AddToScheme(kinds)
	_ = drainv1alpha1.AddToScheme(kinds)
	return app.Spec{
		Name: decide.Manager, Short: "Keeps node drains from taking Kafka partitions below min.insync.replicas", Long: long,
		Scheme: kinds, Flags: c.AddFlags, Validate: c.Validate,
		Setup: func(ctx context.Context, env app.Env) (app.Components, error) {
			return (&service{config: c, env: env, listening: listening}).plan(ctx)
		},
	}
}
