package fakerunner

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/pkg/log"
)

// Command is fake-runner's root command.
func Command() *cobra.Command {
	var kubeconfig string
	options, logging := Options{AsPod: true}, log.Options{Level: "warn", Format: "text"}
	command := &cobra.Command{
		Use:   "fake-runner",
		Short: "Plays connect-runner's part on simulated nodes; for demonstrations and benchmarks only",
		Long: `fake-runner publishes task configs for connector pods on simulated nodes, where no process runs.
It moves no records. Keys of connectorConfig tell it what to do: fake.tasks is the number of task configs,
and fake.task.ID.KEY sets KEY in the config of the task ID.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			logger, err := logging.New(os.Stderr)
			if err != nil {
				return err
			}
			log.CaptureKlog(logger)
			options.Log = logger
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("--kubeconfig=%q: %w", kubeconfig, err)
			}
			config.QPS, config.Burst = -1, -1
			return Run(command.Context(), config, options)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "file that says how to reach the Kubernetes API (env KUBECONFIG)")
	command.Flags().StringVar(&options.Namespace, "namespace", "", "the only namespace to look at; empty for all")
	command.Flags().BoolVar(&options.AsPod, "as-pod", options.AsPod, "write with the rights of each connector's own pod")
	logging.AddFlags(command.Flags())
	return command
}
