// Package rig runs connect-scheduler in tests as it runs in a cluster: installed by its kustomize base, and with the rights of
// its own ServiceAccount.
package rig

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/config"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/fakerunner"
)

// Example is the content of a file of deploy/examples/connect-scheduler.
func Example(file string) string {
	content, err := os.ReadFile(filepath.Join(examplesDir(), file))
	if err != nil {
		panic("read an example: " + err.Error())
	}
	return string(content)
}

// Examples are the names of the files of deploy/examples/connect-scheduler.
func Examples() []string {
	entries, err := os.ReadDir(examplesDir())
	if err != nil {
		panic("list the examples: " + err.Error())
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func examplesDir() string { return filepath.Join(deployDir(), "examples", "connect-scheduler") }

// deployDir is found from this file's own place.
func deployDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "deploy")
}

// Install applies the kustomize base and returns the connection of the ServiceAccount in it. The Deployment's own pods are
// simulated, as all pods are, and do nothing.
func Install(ctx context.Context, cp *testkit.ControlPlane) (*rest.Config, error) {
	manifests, err := cp.Kubectl(ctx, "kustomize", filepath.Join(deployDir(), "connect-scheduler"))
	if err != nil {
		return nil, err
	}
	if _, err := cp.ApplyYAML(ctx, "", manifests); err != nil {
		return nil, fmt.Errorf("apply the base: %w", err)
	}
	return cp.ServiceAccount(ctx, "weir-system", "connect-scheduler")
}

// Options of a Service.
type Options struct {
	// Namespace is the only one to watch; all where it is empty.
	Namespace string
	// MetricsAddress serves metrics where it is set.
	MetricsAddress string
	// Logs is where log lines go; where it is nil, the environment variable WEIR_LOG shows them.
	Logs io.Writer
}

// Service runs connect-scheduler in this process until ctx ends.
func Service(ctx context.Context, account *rest.Config, o Options) error {
	flags, options := config.Defaults(), app.DefaultOptions()
	options.MetricsAddress, options.Namespace = o.MetricsAddress, o.Namespace
	options.QPS, options.Burst = 1000, 2000
	logs := o.Logs
	switch {
	case logs == nil && os.Getenv("WEIR_LOG") != "":
		logs = os.Stderr
	case logs == nil:
		logs = io.Discard
	}
	return app.Run(ctx, config.Spec(&flags), options, account, slog.New(slog.NewTextHandler(logs, nil)))
}

// FakeRunner runs the fake runner for all namespaces until ctx ends.
func FakeRunner(ctx context.Context, admin *rest.Config) error {
	admin.QPS, admin.Burst = -1, -1
	return fakerunner.Run(ctx, admin, fakerunner.Options{AsPod: true, Log: slog.New(slog.DiscardHandler)})
}
