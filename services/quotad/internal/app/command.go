//go:build linux

// Package app is the composition root of quotad.
package app

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

const long = `quotad runs on each node of a GlusterFS cluster. It limits the directories of persistent volumes on the
local bricks with XFS project quota, so that a volume of 1 GiB takes 1 GiB. The bricks must be on XFS, mounted with
prjquota.

  quotad standalone   sizes come from the descriptions that gluster-bridge and kadalu write to the volume
  quotad cluster      sizes come from GlusterVolumes, and the limits are reported in their status
  quotad check        prints the bricks and what differs, and changes nothing

It writes no file into a brick, and changes no limit that it has not set itself.`

// Command returns the command of the service.
func Command() *cobra.Command {
	o := Defaults()
	return app.Root(decide.Manager, "Limit the directories of persistent volumes on GlusterFS bricks", long,
		app.Command(StandaloneSpec(&o)), app.Command(ClusterSpec(&o)), checkCommand())
}

// Options are the flags of quotad.
type Options struct {
	// GlusterdDir has the files of glusterd.
	GlusterdDir string
	// StateDir has the records of project ids.
	StateDir string
	// Interval is the time between two checks of all directories.
	Interval time.Duration
	// NodeName is the Kubernetes node of the pod; only in cluster mode.
	NodeName string
}

// Defaults returns the default flags.
func Defaults() Options {
	return Options{GlusterdDir: "/var/lib/glusterd", StateDir: "/var/lib/quotad", Interval: 10 * time.Minute}
}

func (o *Options) addDirs(flags *pflag.FlagSet) {
	flags.StringVar(&o.GlusterdDir, "glusterd-dir", o.GlusterdDir, "working directory of glusterd; it is only read")
	flags.StringVar(&o.StateDir, "state-dir", o.StateDir,
		"directory for the records of project ids; it must survive restarts, and must not be on a brick")
}

func (o *Options) addFlags(flags *pflag.FlagSet) {
	o.addDirs(flags)
	flags.DurationVar(&o.Interval, "check-interval", o.Interval,
		"time between two checks of all directories, up to ten times longer with very many of them; changes are noticed "+
			"at once")
}

func (o *Options) validate() error {
	var problems []error
	for flag, value := range map[string]string{"--glusterd-dir": o.GlusterdDir, "--state-dir": o.StateDir} {
		if !filepath.IsAbs(value) || filepath.Clean(value) != value {
			problems = append(problems, fmt.Errorf("%s=%s: must be an absolute path without . and .. elements", flag, value))
		}
	}
	if o.Interval < time.Second {
		problems = append(problems, fmt.Errorf("--check-interval=%s: must be at least 1s", o.Interval))
	}
	return errors.Join(problems...)
}
