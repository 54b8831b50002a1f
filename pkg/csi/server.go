// Package csi has what every CSI driver needs and knows nothing of a storage: a gRPC server on a unix socket, the
// identity service, the registration with kubelet, locks per volume, and checks of requests.
package csi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

// Options configure a server.
type Options struct {
	// Socket is the path of the unix socket, see ParseEndpoint.
	Socket string
	// Log receives one line per call. Secrets are removed.
	Log *slog.Logger
	// Metrics observe the calls; see NewMetrics.
	Metrics *Metrics
	// Grace is how long running calls may continue after the context of Serve has ended; the default is 20 s.
	Grace time.Duration
}

// socketMode lets only the user of the driver and its group call it: the sidecars of its pod and kubelet.
const socketMode = 0o660

// ParseEndpoint returns the path of a CSI endpoint: an absolute path, or a URL unix://<absolute path>.
func ParseEndpoint(endpoint string) (string, error) {
	socket := strings.TrimPrefix(endpoint, "unix://")
	if !filepath.IsAbs(socket) || filepath.Clean(socket) != socket {
		return "", fmt.Errorf("endpoint %q: must be unix:// and an absolute path, for example unix:///csi/csi.sock", endpoint)
	}
	// The limit of sun_path.
	if len(socket) > 107 {
		return "", fmt.Errorf("endpoint %q: the path has %d bytes; a unix socket has at most 107", endpoint, len(socket))
	}
	return socket, nil
}

// Serve serves the services that register adds until ctx ends. Then it accepts no more calls, waits for the running
// ones, and cancels them after Options.Grace.
func Serve(ctx context.Context, o Options, register func(grpc.ServiceRegistrar)) error {
	if o.Grace == 0 {
		o.Grace = 20 * time.Second
	}
	listener, err := Listen(ctx, o.Socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(o.Metrics.observe, logCalls(o.Log), recoverPanics(o.Log)))
	register(server)
	o.Log.Info("serving gRPC", "socket", o.Socket)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		force := time.AfterFunc(o.Grace, server.Stop)
		server.GracefulStop()
		force.Stop()
	})
	err = server.Serve(listener)
	if stop() {
		return fmt.Errorf("serve at %s: %w", o.Socket, err)
	}
	<-stopped
	return nil
}

// Listen listens at a unix socket. It replaces the socket of a process that has ended, but not of a running one, and no
// other kind of file.
func Listen(ctx context.Context, socket string) (net.Listener, error) {
	info, err := os.Lstat(socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("listen at %s: %w", socket, err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen at %s: the path exists and is not a socket; remove it", socket)
	default:
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "unix", socket); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen at %s: another process serves the socket; stop it", socket)
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("listen at %s: %w", socket, err)
		}
		if err := os.Remove(socket); err != nil {
			return nil, fmt.Errorf("listen at %s: remove the socket of an earlier process: %w", socket, err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", socket, err)
	}
	if err := os.Chmod(socket, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("listen at %s: %w", socket, err), listener.Close())
	}
	return listener, nil
}
