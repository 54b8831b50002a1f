package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/reconcile"
)

// Config holds the flags that only the controller has.
type Config struct {
	// Workers is the number of sets that are reconciled in parallel, from 1 to 256.
	Workers int
	// AllowedBasePaths are the directories that spec.basePath may be in.
	AllowedBasePaths []string
}

// Defaults returns the default flags of the controller.
func Defaults() Config { return Config{Workers: 4, AllowedBasePaths: []string{"/mnt/data"}} }

// AddFlags registers the flags.
func (c *Config) AddFlags(flags *pflag.FlagSet) {
	flags.IntVar(&c.Workers, "workers", c.Workers,
		"number of KafkaLocalVolumeSets that are reconciled in parallel, from 1 to 256")
	flags.StringSliceVar(&c.AllowedBasePaths, "allowed-base-paths", c.AllowedBasePaths,
		"directories that spec.basePath may be, or be in; the agents need the same value, and mount these directories")
}

// Validate returns an error that names each invalid flag and its value.
func (c *Config) Validate() error {
	var err error
	if c.Workers < 1 || c.Workers > 256 {
		err = fmt.Errorf("--workers=%d: must be from 1 to 256", c.Workers)
	}
	return errors.Join(err, ValidateBasePaths(c.AllowedBasePaths))
}

// ValidateBasePaths checks the flag --allowed-base-paths, which the controller and the agent have.
func ValidateBasePaths(paths []string) error {
	if len(paths) == 0 {
		return errors.New("--allowed-base-paths: must have at least one directory; use for example /mnt/data")
	}
	var problems []error
	for _, path := range paths {
		if !spec.ValidBasePath(path) {
			problems = append(problems, fmt.Errorf("--allowed-base-paths=%s: must be an absolute path other than /, "+
				"without . or .. and without a trailing slash; use for example /mnt/data", path))
		}
	}
	return errors.Join(problems...)
}

// Spec describes the controller for pkg/app. It runs with the flags of c.
func Spec(c *Config) app.Spec {
	return app.Spec{
		Name:  spec.Manager,
		Use:   "controller",
		Short: "Place replicas and write PersistentVolumes",
		Long: `The controller places the replicas of KafkaLocalVolumeSets on nodes, tells the agents which directories to
create, and creates one PersistentVolume for each claim when its directory is ready. It makes a PersistentVolume
available again when its claim was deleted:

  kubectl get kafkalocalvolumesets
  kubectl describe kafkalocalvolumeset NAME`,
		Scheme:   reconcile.Scheme(),
		Defaults: defaults,
		Flags:    c.AddFlags,
		Validate: c.Validate,
		Setup: func(ctx context.Context, env app.Env) (app.Components, error) {
			return reconcile.Setup(ctx, env, reconcile.Options{
				Workers: c.Workers, Settings: spec.Settings{AllowedBasePaths: c.AllowedBasePaths},
			})
		},
	}
}

// defaults sets the defaults of shared flags. A new set is a burst of writes; the API Priority and Fairness of the API
// server protects other clients.
func defaults(o *app.Options) { o.QPS, o.Burst = 1000, 2000 }
