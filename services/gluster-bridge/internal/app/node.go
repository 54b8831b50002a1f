//go:build linux

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	csispec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/weir-dev/weir/pkg/app"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// NodeConfig holds the flags of the node process.
type NodeConfig struct {
	Common
	Server
	// NodeName is the name of the Kubernetes node.
	NodeName string
	// Register is true if the process registers itself with kubelet.
	Register bool
	// RegistrationDirectory is the directory in which kubelet looks for drivers.
	RegistrationDirectory string
	// KubeletEndpoint is the path of the socket on the host.
	KubeletEndpoint string
	// ClientsSocket is the socket of the process that runs the clients.
	ClientsSocket string
	// ProbeInterval is the time between two probes of a client.
	ProbeInterval time.Duration
	// UnusedTimeout is the time after which a client without mounts is ended.
	UnusedTimeout time.Duration
}

// NodeDefaults returns the default flags of the node process.
func NodeDefaults() NodeConfig {
	return NodeConfig{
		Common: commonDefaults(), Server: serverDefaults(), NodeName: os.Getenv("NODE_NAME"),
		RegistrationDirectory: "/registration",
		KubeletEndpoint:       "/var/lib/kubelet/plugins/" + decide.Driver + "/csi.sock",
		ProbeInterval:         time.Second, UnusedTimeout: 10 * time.Minute,
	}
}

// AddFlags registers the flags.
func (c *NodeConfig) AddFlags(flags *pflag.FlagSet) {
	c.Server.addFlags(flags)
	c.Common.addFlags(flags)
	flags.StringVar(&c.NodeName, "node-name", c.NodeName, "name of the Kubernetes node (env NODE_NAME)")
	flags.BoolVar(&c.Register, "register", c.Register, "register with kubelet, instead of a sidecar node-driver-registrar")
	flags.StringVar(&c.RegistrationDirectory, "registration-directory", c.RegistrationDirectory,
		"kubelet's directory plugins_registry, with --register")
	flags.StringVar(&c.KubeletEndpoint, "kubelet-endpoint", c.KubeletEndpoint,
		"path of the socket of --endpoint on the host, with --register")
	flags.StringVar(&c.ClientsSocket, "clients-socket", c.ClientsSocket,
		"unix socket of gluster-bridge clients, which runs the GlusterFS clients; empty to run them in this container, "+
			"where they end with it")
	flags.DurationVar(&c.ProbeInterval, "probe-interval", c.ProbeInterval,
		"time between two probes of each GlusterFS client, from 100ms to 1m")
	flags.DurationVar(&c.UnusedTimeout, "unused-timeout", c.UnusedTimeout,
		"time after which the GlusterFS client of a volume without mounts is ended, from 1s to 24h")
}

// Validate returns an error that names each invalid flag and its value.
func (c *NodeConfig) Validate() error {
	err := errors.Join(c.Server.validate(), c.Common.validate())
	if c.NodeName == "" {
		err = errors.Join(err, errors.New(`--node-name="": must be set`))
	}
	if c.Register {
		for flag, value := range map[string]string{
			"registration-directory": c.RegistrationDirectory, "kubelet-endpoint": c.KubeletEndpoint,
		} {
			if !filepath.IsAbs(value) {
				err = errors.Join(err, fmt.Errorf("--%s=%s: must be an absolute path", flag, value))
			}
		}
	}
	if c.ClientsSocket != "" {
		if _, socketErr := pkgcsi.ParseEndpoint(c.ClientsSocket); socketErr != nil {
			err = errors.Join(err, fmt.Errorf("--clients-socket: %w", socketErr))
		}
	}
	if c.ProbeInterval < 100*time.Millisecond || c.ProbeInterval > time.Minute {
		err = errors.Join(err, fmt.Errorf("--probe-interval=%s: must be from 100ms to 1m", c.ProbeInterval))
	}
	if c.UnusedTimeout < time.Second || c.UnusedTimeout > 24*time.Hour {
		err = errors.Join(err, fmt.Errorf("--unused-timeout=%s: must be from 1s to 24h", c.UnusedTimeout))
	}
	return err
}

// NodeSpec describes the node process for pkg/app. Its only right in the Kubernetes API is to write events.
func NodeSpec(c *NodeConfig) app.Spec {
	return app.Spec{
		Name:  "gluster-bridge-node",
		Use:   "node",
		Short: "Mount volumes for the pods of a node",
		Long: `The node process serves the node service of CSI. It mounts each GlusterFS volume once. If a GlusterFS
client ends, it mounts the volume again and replaces the mounts of pods, also in running containers.`,
		NoLeaderElection: true,
		NoNamespace:      true,
		Flags:            c.AddFlags,
		Validate:         c.Validate,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			return setupNode(c, env)
		},
	}
}

func setupNode(c *NodeConfig, env app.Env) (app.Components, error) {
	socket, err := pkgcsi.ParseEndpoint(c.Endpoint)
	if err != nil {
		return app.Components{}, err
	}
	pool := &gluster.Pool{
		Root: c.MountDirectory, Records: true,
		Clients: &gluster.Local{Root: c.MountDirectory, Logs: c.LogDirectory, Log: env.Log},
	}
	if c.ClientsSocket != "" {
		clients, err := pkgcsi.ParseEndpoint(c.ClientsSocket)
		if err != nil {
			return app.Components{}, err
		}
		pool.Clients = gluster.NewRemote(clients)
	}
	// Before the first call: a call of kubelet must not miss that a client has ended.
	loaded, err := pool.LoadRecords()
	if err != nil {
		env.Log.Error("records of mounts cannot be used", "error", err)
	}
	env.Log.Info("read the records of mounts", "volumes", loaded)
	// kubelet uses the name as the UID of events about a Node, and kubectl describe looks for it.
	about := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.NodeName, UID: types.UID(c.NodeName)}}
	recovery := &gluster.Recovery{
		Pool: pool, Interval: c.ProbeInterval, Timeout: c.StorageTimeout, Unused: c.UnusedTimeout, Log: env.Log,
		Metrics: gluster.NewRecoveryMetrics(env.Metrics),
		Record:  func(e event.Event) { event.Record(env.Events, about, e) },
	}
	o := pkgcsi.Options{Socket: socket, Log: env.Log, Metrics: pkgcsi.NewMetrics(env.Metrics)}
	components := app.Components{Always: []app.Runnable{recovery.Run, func(ctx context.Context) error {
		return pkgcsi.Serve(ctx, o, func(r grpc.ServiceRegistrar) {
			csispec.RegisterIdentityServer(r, &pkgcsi.Identity{Name: decide.Driver, Version: driverVersion()})
			csispec.RegisterNodeServer(r, &csi.Node{Name: c.NodeName, Pool: pool, Timeout: c.StorageTimeout})
		})
	}}}
	if c.Register {
		components.Always = append(components.Always, func(ctx context.Context) error {
			o := o
			o.Socket = filepath.Join(c.RegistrationDirectory, decide.Driver+"-reg.sock")
			return pkgcsi.Serve(ctx, o, func(r grpc.ServiceRegistrar) {
				registration.RegisterRegistrationServer(r, &pkgcsi.Registration{
					Driver: decide.Driver, Endpoint: c.KubeletEndpoint, Log: env.Log,
				})
			})
		})
	}
	return components, nil
}

// driverVersion is the version that the driver reports.
func driverVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}
