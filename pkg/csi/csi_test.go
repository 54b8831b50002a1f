package csi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	csispec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/pkg/csi/csitest"
)

// controller calls create in CreateVolume.
type controller struct {
	csispec.UnimplementedControllerServer
	create func(context.Context) error
}

func (c *controller) CreateVolume(
	ctx context.Context, _ *csispec.CreateVolumeRequest,
) (*csispec.CreateVolumeResponse, error) {
	return &csispec.CreateVolumeResponse{}, c.create(ctx)
}

// buffer can be written and read from several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func register(create func(context.Context) error) func(grpc.ServiceRegistrar) {
	return func(r grpc.ServiceRegistrar) {
		csispec.RegisterIdentityServer(r, &csi.Identity{Name: "test.weir.dev", Version: "1", Controller: true})
		csispec.RegisterControllerServer(r, &controller{create: create})
	}
}

func TestLogsHaveNoSecretsAndPanicsAreInternalErrors(t *testing.T) {
	t.Parallel()
	log, registry := &buffer{}, prometheus.NewRegistry()
	conn := csitest.Serve(t, csi.Options{
		Socket: csitest.Socket(t), Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: csi.NewMetrics(registry),
	}, register(func(context.Context) error { panic("broken") }))

	_, err := csispec.NewControllerClient(conn).CreateVolume(t.Context(), &csispec.CreateVolumeRequest{
		Name: "pvc-1", Secrets: map[string]string{"password": "hunter2"},
	})
	require.Equal(t, codes.Internal, status.Code(err), err)
	require.NotContains(t, log.String(), "hunter2")
	require.Contains(t, log.String(), "pvc-1")
	require.Contains(t, log.String(), "panic in a CSI call")
	require.Equal(t, 1, testutil.CollectAndCount(registry, "weir_csi_call_duration_seconds"))

	info, err := csispec.NewIdentityClient(conn).GetPluginInfo(t.Context(), &csispec.GetPluginInfoRequest{})
	require.NoError(t, err, "the server still serves after a panic")
	require.Equal(t, "test.weir.dev", info.GetName())
}

func TestARunningCallFinishesBeforeTheServerStops(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	socket, served := csitest.Socket(t), make(chan error, 1)
	o := csi.Options{Socket: socket, Log: slog.New(slog.DiscardHandler)}
	go func() {
		served <- csi.Serve(ctx, o, register(func(context.Context) error {
			close(entered)
			<-release
			return nil
		}))
	}()
	conn := dial(t, socket)
	called := make(chan error, 1)
	go func() {
		_, err := csispec.NewControllerClient(conn).CreateVolume(context.WithoutCancel(t.Context()),
			&csispec.CreateVolumeRequest{}, grpc.WaitForReady(true))
		called <- err
	}()
	<-entered
	cancel()
	close(release)
	require.NoError(t, <-called)
	require.NoError(t, <-served)
	require.NoFileExists(t, socket)
}

func TestACallThatDoesNotEndIsCancelledAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	socket, served := csitest.Socket(t), make(chan error, 1)
	o := csi.Options{Socket: socket, Log: slog.New(slog.DiscardHandler), Grace: time.Millisecond}
	go func() {
		served <- csi.Serve(ctx, o, register(func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}))
	}()
	conn := dial(t, socket)
	called := make(chan error, 1)
	go func() {
		_, err := csispec.NewControllerClient(conn).CreateVolume(context.WithoutCancel(t.Context()),
			&csispec.CreateVolumeRequest{}, grpc.WaitForReady(true))
		called <- err
	}()
	<-entered
	cancel()
	require.Error(t, <-called)
	require.NoError(t, <-served)
}

func TestTheSocketOfAnEndedProcessIsReplacedAndNothingElse(t *testing.T) {
	t.Parallel()
	o := csi.Options{Socket: csitest.Socket(t), Log: slog.New(slog.DiscardHandler)}

	require.NoError(t, os.WriteFile(o.Socket, []byte("data"), 0o600))
	err := csi.Serve(t.Context(), o, register(nil))
	require.ErrorContains(t, err, "is not a socket")
	require.FileExists(t, o.Socket)
	require.NoError(t, os.Remove(o.Socket))

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: o.Socket, Net: "unix"})
	require.NoError(t, err)
	err = csi.Serve(t.Context(), o, register(nil))
	require.ErrorContains(t, err, "another process serves the socket")
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())

	conn := csitest.Serve(t, o, register(nil))
	_, err = csispec.NewIdentityClient(conn).Probe(t.Context(), &csispec.ProbeRequest{})
	require.NoError(t, err)
	info, err := os.Stat(o.Socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm(), "other users cannot call the driver")
}

func TestEndpointsAreAbsolutePathsOfUnixSockets(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"unix:///csi/csi.sock": "/csi/csi.sock",
		"/csi/csi.sock":        "/csi/csi.sock",
		"unix://csi.sock":      "",
		"tcp://127.0.0.1:1":    "",
		"/csi/../csi.sock":     "",
		"":                     "",
		filepath.Join("/", strings.Repeat("a", 107)): "",
	} {
		got, err := csi.ParseEndpoint(endpoint)
		require.Equal(t, want, got, endpoint)
		require.Equal(t, want == "", err != nil, "%s: %v", endpoint, err)
	}
}

func TestASecondOperationOnAVolumeIsAborted(t *testing.T) {
	t.Parallel()
	var locks csi.Locks
	unlock, err := locks.Lock("a", "CreateVolume")
	require.NoError(t, err)
	_, err = locks.Lock("a", "DeleteVolume")
	require.Equal(t, codes.Aborted, status.Code(err))
	require.ErrorContains(t, err, "CreateVolume is pending")
	other, err := locks.Lock("b", "DeleteVolume")
	require.NoError(t, err, "another volume is independent")
	other()
	unlock()
	unlock, err = locks.Lock("a", "DeleteVolume")
	require.NoError(t, err)
	unlock()
}

func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
