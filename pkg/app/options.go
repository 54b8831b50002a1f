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

// Options are the flags that every service has.
type Options struct {
	// Kubeconfig is the file that says how to reach the API; in a cluster it is not needed.
	Kubeconfig string
	// Namespace to watch; all where it is empty.
	Namespace string
	// MetricsAddress serves /metrics, /healthz and /readyz; nothing is served where it is empty.
	MetricsAddress string
	// LeaderElect lets only one replica work at a time, by a lease in LeaseNamespace under Identity.
	LeaderElect    bool
	LeaseNamespace string
	Identity       string
	// QPS and Burst bound the requests to the API a second.
	QPS   float32
	Burst int
	// Log are the flags of the log.
	Log log.Options
}

// Defaults are those that suit a service in a cluster.
func DefaultOptions() Options {
	return Options{
		Kubeconfig:     os.Getenv("KUBECONFIG"),
		MetricsAddress: ":8080",
		LeaseNamespace: cmp.Or(os.Getenv("POD_NAMESPACE"), "weir-system"),
		Identity:       cmp.Or(os.Getenv("POD_NAME"), uuid.NewString()),
		QPS:            100, Burst: 200,
		Log: log.DefaultOptions(),
	}
}

// AddFlags registers the flags.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "file that says how to reach the Kubernetes API; empty in a cluster (env KUBECONFIG)")
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "the only namespace to watch; empty for all")
	flags.StringVar(&o.MetricsAddress, "metrics-address", o.MetricsAddress, "address that serves /metrics, /healthz and /readyz; empty for none")
	flags.BoolVar(&o.LeaderElect, "leader-elect", o.LeaderElect, "work only while holding a lease, so that several replicas can run")
	flags.StringVar(&o.LeaseNamespace, "lease-namespace", o.LeaseNamespace, "namespace of the lease (env POD_NAMESPACE)")
	flags.StringVar(&o.Identity, "identity", o.Identity, "name of this replica in the lease (env POD_NAME; else random)")
	flags.Float32Var(&o.QPS, "kube-api-qps", o.QPS, "requests to the Kubernetes API a second, in the long run")
	flags.IntVar(&o.Burst, "kube-api-burst", o.Burst, "requests to the Kubernetes API at once")
	o.Log.AddFlags(flags)
}

// Validate names the flags that cannot be used.
func (o Options) Validate() error {
	var found []error
	if o.QPS <= 0 {
		found = append(found, fmt.Errorf("--kube-api-qps=%v: must be more than 0", o.QPS))
	}
	if o.Burst < 1 {
		found = append(found, fmt.Errorf("--kube-api-burst=%d: must be at least 1", o.Burst))
	}
	if o.LeaderElect && o.LeaseNamespace == "" {
		found = append(found, errors.New(`--lease-namespace="": --leader-elect needs the namespace of the lease`))
	}
	return errors.Join(found...)
}

func (o Options) restConfig() (*rest.Config, error) {
	if o.Kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig=\"\": not in a cluster, so that it is needed: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig=%q: %w", o.Kubeconfig, err)
	}
	return config, nil
}
