package fakerunner

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/pkg/log"
)

// Command returns the root command of fake-runner.
func Command() *cobra.Command {
	var kubeconfig string
	options, logging := Options{AsPod: true}, log.Options{Level: "warn", Format: "text"}
	command := &cobra.Command{
		Use:   "fake-runner",
		Short: "Simulates connect-runner on simulated nodes; for demonstrations and benchmarks only",
		Long: `fake-runner publishes task configs for connector pods on simulated nodes, where no process runs.
It does not copy records. Keys of connectorConfig control it: fake.tasks is the number of task configs,
fake.task.ID.KEY sets KEY in the config of the task ID.`,
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
	flags := command.Flags()
	flags.StringVar(&kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "path of the kubeconfig file (env KUBECONFIG)")
	flags.StringVar(&options.Namespace, "namespace", "", "the only namespace to watch; empty for all namespaces")
	flags.BoolVar(&options.AsPod, "as-pod", options.AsPod, "write with the ServiceAccount of each connector's pod")
	logging.AddFlags(flags)
	return command
}
