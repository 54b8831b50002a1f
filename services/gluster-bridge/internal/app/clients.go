//go:build linux

package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/app"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// ClientsConfig holds the flags of the process that runs the clients.
type ClientsConfig struct {
	Common
	// Socket is the unix socket for requests of the node process.
	Socket string
}

// ClientsDefaults returns the default flags of the process that runs the clients.
func ClientsDefaults() ClientsConfig {
	return ClientsConfig{Common: commonDefaults(), Socket: "unix:///csi/clients.sock"}
}

// AddFlags registers the flags.
func (c *ClientsConfig) AddFlags(flags *pflag.FlagSet) {
	c.addFlags(flags)
	flags.StringVar(&c.Socket, "socket", c.Socket, "unix socket for the requests of gluster-bridge node")
}

// Validate returns an error that names each invalid flag and its value.
func (c *ClientsConfig) Validate() error {
	err := c.validate()
	if _, socketErr := pkgcsi.ParseEndpoint(c.Socket); socketErr != nil {
		err = errors.Join(err, fmt.Errorf("--socket: %w", socketErr))
	}
	return err
}

// ClientsSpec describes the process that runs the clients for pkg/app.
func ClientsSpec(c *ClientsConfig) app.Spec {
	return app.Spec{
		Name:  "gluster-bridge-clients",
		Use:   "clients",
		Short: "Run the GlusterFS clients of a node",
		Long: `The process starts the GlusterFS clients that gluster-bridge node requests. It has no other work and no state,
so that it needs no restart when the node process is upgraded. The clients end with its container.`,
		Standalone: true,
		Flags:      c.AddFlags,
		Validate:   c.Validate,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			socket, err := pkgcsi.ParseEndpoint(c.Socket)
			if err != nil {
				return app.Components{}, err
			}
			local := &gluster.Local{Root: c.MountDirectory, Logs: c.LogDirectory, Log: env.Log}
			handler := gluster.Handler(local, c.StorageTimeout, env.Log)
			return app.Components{Always: []app.Runnable{func(ctx context.Context) error {
				return serveRequests(ctx, socket, handler)
			}}}, nil
		},
	}
}

// serveRequests serves requests at a unix socket until ctx ends.
func serveRequests(ctx context.Context, socket string, handler http.Handler) error {
	listener, err := pkgcsi.Listen(ctx, socket)
	if err != nil {
		return err
	}
	const headerTimeout = 10 * time.Second
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve at %s: %w", socket, err)
	}
	return nil
}
