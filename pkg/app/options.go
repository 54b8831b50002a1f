package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/pkg/log"
)

// Options are the values of the shared flags.
type Options struct {
	// Log configures the logger.
	Log log.Options
	// MetricsAddress serves /metrics, /healthz and /readyz; empty for none.
	MetricsAddress string
	// PprofAddress serves the profiles of the Go runtime; empty for none.
	PprofAddress string

	// Kubeconfig is the path of a kubeconfig file; not needed in a cluster.
	Kubeconfig string
	// Namespace is the only namespace to watch; empty for all.
	Namespace string
	// LeaderElect runs controllers only in the replica that holds the lease in LeaseNamespace, under Identity.
	LeaderElect    bool
	LeaseNamespace string
	Identity       string
	// QPS and Burst limit the requests to the API server per second.
	QPS   float32
	Burst int
}

// DefaultOptions returns the defaults for a service in a cluster.
func DefaultOptions() Options {
	return Options{
		Log:            log.DefaultOptions(),
		MetricsAddress: ":8080",
		Kubeconfig:     os.Getenv("KUBECONFIG"),
		LeaseNamespace: cmp.Or(os.Getenv("POD_NAMESPACE"), "weir-system"),
		Identity:       cmp.Or(os.Getenv("POD_NAME"), uuid.NewString()),
		QPS:            100, Burst: 200,
	}
}

// AddFlags registers the flags that every service has, with or without a Kubernetes client.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	o.Log.AddFlags(flags)
	flags.StringVar(&o.MetricsAddress, "metrics-address", o.MetricsAddress,
		"address that serves /metrics, /healthz and /readyz; empty for none")
	flags.StringVar(&o.PprofAddress, "pprof-address", o.PprofAddress,
		"address that serves Go profiles at /debug/pprof/, for example 127.0.0.1:6060; empty for none")
}

// AddKubernetesFlags registers the flags of the Kubernetes client.
func (o *Options) AddKubernetesFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig,
		"path of a kubeconfig file; empty in a cluster (env KUBECONFIG)")
	flags.Float32Var(&o.QPS, "kube-api-qps", o.QPS, "maximum average of requests per second to the API server")
	flags.IntVar(&o.Burst, "kube-api-burst", o.Burst, "maximum burst of requests to the API server")
}

// AddNamespaceFlag registers the flag that limits a service to one namespace.
func (o *Options) AddNamespaceFlag(flags *pflag.FlagSet) {
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "the only namespace to watch; empty for all")
}

// AddLeaderFlags registers the flags of the leader election.
func (o *Options) AddLeaderFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.LeaderElect, "leader-elect", o.LeaderElect,
		"run controllers only in the replica that holds the lease")
	flags.StringVar(
		&o.LeaseNamespace,
		"lease-namespace",
		o.LeaseNamespace,
		"namespace of the lease (env POD_NAMESPACE)",
	)
	flags.StringVar(&o.Identity, "identity", o.Identity,
		"name of this replica in the lease (env POD_NAME, else random)")
}

// Validate returns an error for each invalid flag.
func (o Options) Validate() error {
	var invalid []error
	if o.QPS <= 0 {
		invalid = append(invalid, fmt.Errorf("--kube-api-qps=%v: must be greater than 0", o.QPS))
	}
	if o.Burst < 1 {
		invalid = append(invalid, fmt.Errorf("--kube-api-burst=%d: must be at least 1", o.Burst))
	}
	if o.LeaderElect && o.LeaseNamespace == "" {
		invalid = append(invalid, errors.New(`--lease-namespace="": must be set with --leader-elect`))
	}
	return errors.Join(invalid...)
}

func (o Options) restConfig() (*rest.Config, error) {
	if o.Kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf(`--kubeconfig="": must be set outside of a cluster: %w`, err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig=%q: %w", o.Kubeconfig, err)
	}
	return config, nil
}
