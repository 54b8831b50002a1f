// Package testenv runs connect-scheduler on the embedded control plane as it runs in a cluster: installed from its
// kustomize base, under its own ServiceAccount, with a fake connect-runner in the simulated pods. New gives a test a
// namespace and the methods to apply objects and to wait for the result.
package testenv

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	connectscheduler "github.com/weir-dev/weir/services/connect-scheduler/internal/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/fakerunner"
)

// Deploy returns the path of a file or directory below deploy/, as seen from the directory of a test package. A path
// from runtime.Caller would not exist in a build with -trimpath.
func Deploy(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "..", "deploy"}, elements...)...)
}

// Example returns the content of a file in deploy/examples/connect-scheduler, without the namespace that it names.
func Example(file string) string {
	content, err := os.ReadFile(Deploy("examples", "connect-scheduler", file))
	if err != nil {
		panic("read an example: " + err.Error())
	}
	return strings.ReplaceAll(string(content), "  namespace: kafka-connect-poc\n", "")
}

// Examples returns the names of the files in deploy/examples/connect-scheduler.
func Examples() []string {
	entries, err := os.ReadDir(Deploy("examples", "connect-scheduler"))
	if err != nil {
		panic("list the examples: " + err.Error())
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Install applies deploy/base and deploy/connect-scheduler and returns the connection of its ServiceAccount. The pods
// of the Deployment are simulated, so Run must run the service.
func Install(ctx context.Context, cp *testkit.ControlPlane) (*rest.Config, error) {
	for _, name := range []string{"base", "connect-scheduler"} {
		manifests, err := cp.Kubectl(ctx, "kustomize", Deploy(name))
		if err != nil {
			return nil, err
		}
		if _, err := cp.ApplyYAML(ctx, "", manifests); err != nil {
			return nil, fmt.Errorf("apply deploy/%s: %w", name, err)
		}
	}
	return cp.ServiceAccount(ctx, "weir-system", "connect-scheduler")
}

// Options configure a connect-scheduler that a test runs.
type Options struct {
	// Namespace is the only namespace to watch. Default: all namespaces.
	Namespace string
	// MetricsAddress serves /metrics, /healthz and /readyz. Default: no server.
	MetricsAddress string
	// Logs receives the log lines. Default: standard error if the environment variable WEIR_LOG is set, else nothing.
	Logs io.Writer
	// Config changes the flags that only connect-scheduler has. Default: the defaults of the flags.
	Config func(*connectscheduler.Config)
}

// Run runs connect-scheduler in this process until ctx ends.
func Run(ctx context.Context, account *rest.Config, o Options) error {
	flags, options := connectscheduler.Defaults(), app.DefaultOptions()
	if o.Config != nil {
		o.Config(&flags)
	}
	if err := flags.Validate(); err != nil {
		return err
	}
	options.MetricsAddress, options.Namespace = o.MetricsAddress, o.Namespace
	options.QPS, options.Burst = 1000, 2000
	logs := o.Logs
	switch {
	case logs == nil && os.Getenv("WEIR_LOG") != "":
		logs = os.Stderr
	case logs == nil:
		logs = io.Discard
	}
	logger := slog.New(slog.NewTextHandler(logs, nil))
	return app.Run(ctx, connectscheduler.Spec(&flags), options, account, logger)
}

// RunFakeRunner runs the fake connect-runner for all namespaces until ctx ends.
func RunFakeRunner(ctx context.Context, admin *rest.Config) error {
	admin.QPS, admin.Burst = -1, -1
	return fakerunner.Run(ctx, admin, fakerunner.Options{AsPod: true, Log: slog.New(slog.DiscardHandler)})
}
