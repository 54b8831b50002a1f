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

	csispec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/weir-dev/weir/pkg/app"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// NodeConfig holds the flags of the node process.
type NodeConfig struct {
	Common
	// NodeName is the name of the Kubernetes node.
	NodeName string
	// Register is true if the process registers itself with kubelet.
	Register bool
	// RegistrationDirectory is the directory in which kubelet looks for drivers.
	RegistrationDirectory string
	// KubeletEndpoint is the path of the socket on the host.
	KubeletEndpoint string
}

// NodeDefaults returns the default flags of the node process.
func NodeDefaults() NodeConfig {
	return NodeConfig{
		Common: commonDefaults(), NodeName: os.Getenv("NODE_NAME"), RegistrationDirectory: "/registration",
		KubeletEndpoint: "/var/lib/kubelet/plugins/" + decide.Driver + "/csi.sock",
	}
}

// AddFlags registers the flags.
func (c *NodeConfig) AddFlags(flags *pflag.FlagSet) {
	c.addFlags(flags)
	flags.StringVar(&c.NodeName, "node-name", c.NodeName, "name of the Kubernetes node (env NODE_NAME)")
	flags.BoolVar(&c.Register, "register", c.Register, "register with kubelet, instead of a sidecar node-driver-registrar")
	flags.StringVar(&c.RegistrationDirectory, "registration-directory", c.RegistrationDirectory,
		"kubelet's directory plugins_registry, with --register")
	flags.StringVar(&c.KubeletEndpoint, "kubelet-endpoint", c.KubeletEndpoint,
		"path of the socket of --endpoint on the host, with --register")
}

// Validate returns an error that names each invalid flag and its value.
func (c *NodeConfig) Validate() error {
	err := c.validate()
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
	return err
}

// NodeSpec describes the node process for pkg/app. It needs no rights in the Kubernetes API.
func NodeSpec(c *NodeConfig) app.Spec {
	return app.Spec{
		Name:       "gluster-bridge-node",
		Use:        "node",
		Short:      "Mount volumes for the pods of a node",
		Long:       "The node process serves the node service of CSI. It mounts each GlusterFS volume once.",
		Standalone: true,
		Flags:      c.AddFlags,
		Validate:   c.Validate,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			socket, err := pkgcsi.ParseEndpoint(c.Endpoint)
			if err != nil {
				return app.Components{}, err
			}
			o := pkgcsi.Options{Socket: socket, Log: env.Log, Metrics: pkgcsi.NewMetrics(env.Metrics)}
			pool := &gluster.Pool{Root: c.MountDirectory, Logs: c.LogDirectory}
			components := app.Components{Always: []app.Runnable{func(ctx context.Context) error {
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
		},
	}
}

// driverVersion is the version that the driver reports.
func driverVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}
