//go:build linux

package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	csispec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/weir-dev/weir/pkg/app"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/reconcile"
)

// Common holds the flags that all processes have.
type Common struct {
	// MountDirectory and LogDirectory are the directories of the FUSE clients.
	MountDirectory, LogDirectory string
	// StorageTimeout limits each call to a storage.
	StorageTimeout time.Duration
}

func commonDefaults() Common {
	return Common{
		MountDirectory: "/var/lib/gluster-bridge/mounts", LogDirectory: "/var/log/glusterfs",
		StorageTimeout: 30 * time.Second,
	}
}

func (c *Common) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.MountDirectory, "mount-directory", c.MountDirectory,
		"directory of the mounts of GlusterFS volumes")
	flags.StringVar(&c.LogDirectory, "log-directory", c.LogDirectory,
		"directory of the log files of the GlusterFS clients")
	flags.DurationVar(&c.StorageTimeout, "storage-timeout", c.StorageTimeout,
		"time after which a call to a storage that does not answer fails, from 1s to 10m")
}

func (c *Common) validate() error {
	var err error
	for flag, value := range map[string]string{
		"mount-directory": c.MountDirectory, "log-directory": c.LogDirectory,
	} {
		if !filepath.IsAbs(value) || filepath.Clean(value) != value {
			err = errors.Join(err, fmt.Errorf("--%s=%s: must be an absolute path without . and .. in it", flag, value))
		}
	}
	if c.StorageTimeout < time.Second || c.StorageTimeout > 10*time.Minute {
		err = errors.Join(err, fmt.Errorf("--storage-timeout=%s: must be from 1s to 10m", c.StorageTimeout))
	}
	return err
}

// Server holds the flag of the processes that serve CSI.
type Server struct {
	// Endpoint of the CSI services.
	Endpoint string
}

func serverDefaults() Server { return Server{"unix:///csi/csi.sock"} }

func (s *Server) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&s.Endpoint, "endpoint", s.Endpoint, "unix socket of the CSI services")
}

func (s *Server) validate() error {
	if _, err := pkgcsi.ParseEndpoint(s.Endpoint); err != nil {
		return fmt.Errorf("--endpoint: %w", err)
	}
	return nil
}

// ControllerConfig holds the flags of the controller.
type ControllerConfig struct {
	Common
	Server
	// Workers is the number of storages that are reconciled in parallel.
	Workers int
	// ProbeInterval is the time between two probes of a storage.
	ProbeInterval time.Duration
	// ResyncInterval is the time after which the metadata of all volumes is read again.
	ResyncInterval time.Duration
	// ProjectIDs is the range of XFS project ids.
	ProjectIDs string
}

// ControllerDefaults returns the default flags of the controller.
func ControllerDefaults() ControllerConfig {
	return ControllerConfig{
		Common: commonDefaults(), Server: serverDefaults(), Workers: 4, ProbeInterval: 30 * time.Second,
		ResyncInterval: 10 * time.Minute, ProjectIDs: decide.DefaultProjects.String(),
	}
}

// AddFlags registers the flags.
func (c *ControllerConfig) AddFlags(flags *pflag.FlagSet) {
	c.Server.addFlags(flags)
	c.Common.addFlags(flags)
	flags.IntVar(&c.Workers, "workers", c.Workers,
		"number of KadaluStorages that are reconciled in parallel, from 1 to 64")
	flags.DurationVar(&c.ProbeInterval, "probe-interval", c.ProbeInterval,
		"time between two probes of a storage, from 1s to 1h")
	flags.DurationVar(&c.ResyncInterval, "resync-interval", c.ResyncInterval,
		"time after which the metadata of all volumes is read again, from 1m to 24h")
	flags.StringVar(&c.ProjectIDs, "project-ids", c.ProjectIDs,
		"range of the XFS project ids of volumes, <first>-<last>; nothing else on the bricks may use it")
}

// Validate returns an error that names each invalid flag and its value.
func (c *ControllerConfig) Validate() error {
	err := errors.Join(c.Server.validate(), c.Common.validate())
	if c.Workers < 1 || c.Workers > 64 {
		err = errors.Join(err, fmt.Errorf("--workers=%d: must be from 1 to 64", c.Workers))
	}
	if c.ProbeInterval < time.Second || c.ProbeInterval > time.Hour {
		err = errors.Join(err, fmt.Errorf("--probe-interval=%s: must be from 1s to 1h", c.ProbeInterval))
	}
	if c.ResyncInterval < time.Minute || c.ResyncInterval > 24*time.Hour {
		err = errors.Join(err, fmt.Errorf("--resync-interval=%s: must be from 1m to 24h", c.ResyncInterval))
	}
	if _, rangeErr := decide.ParseProjectRange(c.ProjectIDs); rangeErr != nil {
		err = errors.Join(err, fmt.Errorf("--project-ids=%s: %w", c.ProjectIDs, rangeErr))
	}
	return err
}

// ControllerSpec describes the controller for pkg/app.
func ControllerSpec(c *ControllerConfig) app.Spec {
	return app.Spec{
		Name:  decide.Manager,
		Use:   "controller",
		Short: "Create StorageClasses and volumes",
		Long: `The controller keeps one StorageClass for each KadaluStorage and serves the controller service of CSI. Exactly
one controller runs at a time: it serializes the changes of a GlusterFS volume.

  kubectl get kadalustorages`,
		NoLeaderElection: true,
		Scheme:           reconcile.Scheme(),
		Flags:            c.AddFlags,
		Validate:         c.Validate,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			pool := &gluster.Pool{Root: c.MountDirectory, Logs: c.LogDirectory}
			locks := &pkgcsi.Locks{}
			projects, err := decide.ParseProjectRange(c.ProjectIDs)
			if err != nil {
				return app.Components{}, err
			}
			controllers, err := reconcile.New(env, reconcile.Options{
				Workers: c.Workers, ProbeInterval: c.ProbeInterval, ResyncInterval: c.ResyncInterval,
				Timeout: c.StorageTimeout, Pool: pool, Locks: locks, Projects: projects,
			})
			if err != nil {
				return app.Components{}, err
			}
			socket, err := pkgcsi.ParseEndpoint(c.Endpoint)
			if err != nil {
				return app.Components{}, err
			}
			o := pkgcsi.Options{Socket: socket, Log: env.Log, Metrics: pkgcsi.NewMetrics(env.Metrics)}
			service := &csi.Controller{
				Storages: controllers, Pool: pool, Log: env.Log, Timeout: c.StorageTimeout, Locks: locks,
				Limits: controllers.Limits(), Loaded: controllers.Loaded(), Claimed: controllers.Claimed,
			}
			components := controllers.Components()
			components.Always = append(components.Always, service.Run, func(ctx context.Context) error {
				// Without the storages, calls would end with NotFound, which the sidecars do not repeat.
				if err := untilSynced(ctx, controllers); err != nil {
					return nil //nolint:nilerr // ctx has ended
				}
				return pkgcsi.Serve(ctx, o, func(r grpc.ServiceRegistrar) {
					csispec.RegisterIdentityServer(r, &pkgcsi.Identity{
						Name: decide.Driver, Version: driverVersion(), Controller: true, Topology: true, Ready: controllers.Synced,
					})
					csispec.RegisterControllerServer(r, service)
				})
			})
			return components, nil
		},
	}
}

// untilSynced waits until the caches have all storages.
func untilSynced(ctx context.Context, c *reconcile.Controllers) error {
	const interval = 20 * time.Millisecond
	return wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		return c.Synced(ctx) == nil, nil
	})
}
