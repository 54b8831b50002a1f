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

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/health"
)

func TestBadFlagsAreNamedTogether(t *testing.T) {
	t.Parallel()
	var own int
	command := app.Command(app.Spec{
		Name:     "example",
		Flags:    func(f *pflag.FlagSet) { f.IntVar(&own, "own", 0, "a flag of the service") },
		Validate: func() error { return errors.New("--own=7: must be even") },
	})
	command.SetArgs([]string{"--kube-api-qps=0", "--kube-api-burst=0", "--own=7"})
	command.SetErr(io.Discard)
	require.EqualError(t, command.Execute(), "--kube-api-qps=0: must be more than 0\n--kube-api-burst=0: must be at least 1\n--own=7: must be even")
}

func TestOutsideOfAClusterAKubeconfigIsAskedFor(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	command := app.Command(app.Spec{Name: "example"})
	command.SetArgs([]string{"--kubeconfig=", "--leader-elect=false"})
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.Execute(), `--kubeconfig="": not in a cluster, so that it is needed`)
}

func TestArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	command := app.Command(app.Spec{Name: "example"})
	command.SetArgs([]string{"start"})
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.Execute(), `unknown command "start"`)
}

// running starts a service of one task, and returns its address.
func running(t *testing.T, ready health.Check, task app.Runnable) (address string, ended <-chan error, stop func()) {
	t.Helper()
	options, logs := app.DefaultOptions(), &buffer{lines: make(chan string, 100)}
	options.MetricsAddress = "127.0.0.1:0"
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() {
		done <- app.Run(ctx, app.Spec{Name: "example", Setup: func(context.Context, app.Env) (app.Components, error) {
			return app.Components{LeaderOnly: []app.Runnable{task}, ReadyChecks: map[string]health.Check{"example": ready}}, nil
		}}, options, &rest.Config{Host: "127.0.0.1:1"}, slog.New(slog.NewTextHandler(logs, nil)))
	}()
	found := regexp.MustCompile(`address=(\S+)`)
	for {
		select {
		case line := <-logs.lines:
			if match := found.FindStringSubmatch(line); match != nil {
				return match[1], done, cancel
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the service does not serve")
		}
	}
}

type buffer struct{ lines chan string }

func (b *buffer) Write(line []byte) (int, error) {
	b.lines <- string(bytes.Clone(line))
	return len(line), nil
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func TestServesMetricsAndHealthAndEndsWhenToldTo(t *testing.T) {
	t.Parallel()
	address, ended, stop := running(t, func(context.Context) error { return errors.New("caches are not synced yet") },
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
	require.NoError(t, <-ended)
}

func TestATaskThatFailsEndsTheService(t *testing.T) {
	t.Parallel()
	broken, fail := errors.New("broken"), make(chan struct{})
	_, ended, _ := running(t, func(context.Context) error { return nil }, func(context.Context) error { <-fail; return broken })
	close(fail)
	require.ErrorIs(t, <-ended, broken)
}
