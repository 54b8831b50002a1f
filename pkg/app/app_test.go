package app_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/health"
)

func TestAllInvalidFlagsAreReported(t *testing.T) {
	t.Parallel()
	var own int
	command := app.Command(app.Spec{
		Name:     "example",
		Flags:    func(f *pflag.FlagSet) { f.IntVar(&own, "own", 0, "flag of the service") },
		Validate: func() error { return errors.New("--own=7: must be even") },
	})
	command.SetArgs([]string{"--kube-api-qps=0", "--kube-api-burst=0", "--own=7"})
	command.SetErr(io.Discard)
	require.EqualError(t, command.Execute(),
		"--kube-api-qps=0: must be greater than 0\n--kube-api-burst=0: must be at least 1\n--own=7: must be even")
}

func TestKubeconfigIsRequiredOutsideOfACluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	command := app.Command(app.Spec{Name: "example"})
	command.SetArgs([]string{"--kubeconfig=", "--leader-elect=false"})
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.Execute(), `--kubeconfig="": must be set outside of a cluster`)
}

func TestArgumentsAreRejected(t *testing.T) {
	t.Parallel()
	command := app.Command(app.Spec{Name: "example"})
	command.SetArgs([]string{"start"})
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.Execute(), `unknown command "start"`)
}

// start starts a service with one component. It returns the address of its metrics.
func start(
	t *testing.T, ready health.Check, component app.Runnable,
) (address string, returned <-chan error, stop func()) {
	t.Helper()
	options := app.DefaultOptions()
	options.MetricsAddress = "127.0.0.1:0"
	spec := app.Spec{Name: "example", Setup: func(context.Context, app.Env) (app.Components, error) {
		return app.Components{
			LeaderOnly: []app.Runnable{component}, ReadyChecks: map[string]health.Check{"example": ready},
		}, nil
	}}
	addresses, returned, stop := run(t, spec, options, &rest.Config{Host: "127.0.0.1:1"})
	return addresses("serving metrics and health"), returned, stop
}

// run runs a service until the test ends. address waits for the log line with the message and returns its address.
func run(
	t *testing.T, spec app.Spec, options app.Options, config *rest.Config,
) (address func(message string) string, returned <-chan error, stop func()) {
	t.Helper()
	logs := &buffer{lines: make(chan string, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx, spec, options, config, slog.New(slog.NewTextHandler(logs, nil))) }()
	return func(message string) string {
		t.Helper()
		found := regexp.MustCompile(`msg="` + message + `" address=(\S+)`)
		for {
			select {
			case line := <-logs.lines:
				if match := found.FindStringSubmatch(line); match != nil {
					return match[1]
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no log line %q", message)
			}
		}
	}, done, cancel
}

func wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestStandaloneServiceHasNoKubernetesClient(t *testing.T) {
	t.Parallel()
	envs := make(chan app.Env, 1)
	spec := app.Spec{
		Name:       "example",
		Standalone: true,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			envs <- env
			return app.Components{Always: []app.Runnable{wait}, LeaderOnly: []app.Runnable{wait}}, nil
		},
	}
	command := app.Command(spec)
	for name, want := range map[string]bool{
		"log-format": true, "log-level": true, "metrics-address": true, "pprof-address": true,
		"kubeconfig": false, "namespace": false, "leader-elect": false, "kube-api-qps": false,
	} {
		require.Equal(t, want, command.Flags().Lookup(name) != nil, "--%s", name)
	}
	options := app.DefaultOptions()
	options.MetricsAddress, options.LeaderElect = "127.0.0.1:0", true
	address, returned, stop := run(t, spec, options, nil)
	env := <-envs
	require.Nil(t, env.Client)
	require.Nil(t, env.RESTConfig)
	require.Nil(t, env.Events)
	status, _ := get(t, "http://"+address("serving metrics and health")+"/readyz")
	require.Equal(t, http.StatusOK, status)
	stop()
	require.NoError(t, <-returned)
}

func TestFlagsWithoutEffectAreRemoved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec app.Spec
		want map[string]bool
	}{
		"all": {app.Spec{}, map[string]bool{"namespace": true, "leader-elect": true}},
		"every replica works": {
			app.Spec{NoLeaderElection: true},
			map[string]bool{"namespace": true, "leader-elect": false, "lease-namespace": false, "identity": false},
		},
		"all namespaces": {app.Spec{NoNamespace: true}, map[string]bool{"namespace": false, "leader-elect": true}},
	} {
		c.spec.Name = "example"
		flags := app.Command(c.spec).Flags()
		c.want["kubeconfig"], c.want["kube-api-qps"] = true, true
		for flag, want := range c.want {
			require.Equal(t, want, flags.Lookup(flag) != nil, "%s: --%s", name, flag)
		}
	}
}

func TestAComponentOfTheLeaderNeedsTheLeaderElection(t *testing.T) {
	t.Parallel()
	spec := app.Spec{
		Name: "example", NoLeaderElection: true,
		Setup: func(context.Context, app.Env) (app.Components, error) {
			return app.Components{LeaderOnly: []app.Runnable{wait}}, nil
		},
	}
	err := app.Run(t.Context(), spec, app.DefaultOptions(), &rest.Config{Host: "127.0.0.1:1"},
		slog.New(slog.DiscardHandler))
	require.EqualError(t, err, "set up example: components of the leader need the leader election")
}

func TestProfilesAreServedOnlyWithTheirFlag(t *testing.T) {
	t.Parallel()
	require.Empty(t, app.DefaultOptions().PprofAddress)
	spec := app.Spec{Name: "example", Standalone: true, Setup: func(context.Context, app.Env) (app.Components, error) {
		return app.Components{Always: []app.Runnable{wait}}, nil
	}}
	options := app.DefaultOptions()
	options.MetricsAddress = "127.0.0.1:0"
	address, _, _ := run(t, spec, options, nil)
	status, _ := get(t, "http://"+address("serving metrics and health")+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, status)

	options.PprofAddress = "127.0.0.1:0"
	address, _, _ = run(t, spec, options, nil)
	status, body := get(t, "http://"+address("serving profiles")+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "goroutine profile")
}

// It is not parallel: commands set the logger of klog, which is global.
func TestSubcommandsHaveTheSharedFlagsAndTheirOwnDefaults(t *testing.T) {
	ran := make(chan string, 2)
	subcommand := func(use string, address string) *cobra.Command {
		return app.Command(app.Spec{
			Name: "example-" + use, Use: use, Short: "run the " + use, Standalone: true,
			Defaults: func(o *app.Options) { o.MetricsAddress = address },
			Setup: func(context.Context, app.Env) (app.Components, error) {
				ran <- use
				return app.Components{}, errors.New("stop")
			},
		})
	}
	root := func() *cobra.Command {
		return app.Root("example", "an example", "", subcommand("controller", ":8080"), subcommand("agent", ":9090"))
	}
	for use, address := range map[string]string{"controller": ":8080", "agent": ":9090"} {
		command := root()
		command.SetArgs([]string{use, "--metrics-address="})
		command.SetErr(io.Discard)
		require.EqualError(t, command.ExecuteContext(t.Context()), "set up example-"+use+": stop")
		require.Equal(t, use, <-ran)
		found, _, err := root().Find([]string{use})
		require.NoError(t, err)
		require.Equal(t, address, found.Flags().Lookup("metrics-address").DefValue)
	}
	command := root()
	command.SetArgs([]string{"unknown"})
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.Execute(), `unknown command "unknown" for "example"`)
}

type buffer struct{ lines chan string }

func (b *buffer) Write(line []byte) (int, error) {
	b.lines <- string(bytes.Clone(line))
	return len(line), nil
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestMetricsAndHealthAreServedUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	address, returned, stop := start(t, func(context.Context) error { return errors.New("caches are not synced yet") },
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	status, body := get(t, "http://"+address+"/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "go_goroutines")
	status, _ = get(t, "http://"+address+"/healthz")
	require.Equal(t, http.StatusOK, status)
	status, body = get(t, "http://"+address+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "example: caches are not synced yet")
	stop()
	require.NoError(t, <-returned)
}

func TestFailedComponentStopsTheService(t *testing.T) {
	t.Parallel()
	broken, fail := errors.New("broken"), make(chan struct{})
	_, returned, _ := start(
		t,
		func(context.Context) error { return nil },
		func(context.Context) error { <-fail; return broken },
	)
	close(fail)
	require.ErrorIs(t, <-returned, broken)
}
