package testkit

import (
	"io"
	"os"
)

// Options are what a control plane may differ in; the zero value is a good one, without nodes.
type Options struct {
	// Nodes is how many simulated nodes there are from the start.
	Nodes int
	// Progress is told what takes long, such as building the programs the first time; nil is stderr.
	Progress io.Writer
	// APIServerArgs, ControllerManagerArgs and SchedulerArgs come after the own arguments, and so override them.
	APIServerArgs, ControllerManagerArgs, SchedulerArgs []string
	// Stages are more kwok stages (YAML): how simulated nodes and pods behave.
	Stages []string
}

// Option changes Options.
type Option func(*Options)

// WithNodes sets how many simulated nodes there are from the start.
func WithNodes(n int) Option { return func(o *Options) { o.Nodes = n } }

// WithAPIServerArgs adds arguments of kube-apiserver.
func WithAPIServerArgs(args ...string) Option {
	return func(o *Options) { o.APIServerArgs = append(o.APIServerArgs, args...) }
}

// WithControllerManagerArgs adds arguments of kube-controller-manager.
func WithControllerManagerArgs(args ...string) Option {
	return func(o *Options) { o.ControllerManagerArgs = append(o.ControllerManagerArgs, args...) }
}

// WithSchedulerArgs adds arguments of kube-scheduler.
func WithSchedulerArgs(args ...string) Option {
	return func(o *Options) { o.SchedulerArgs = append(o.SchedulerArgs, args...) }
}

// WithStages adds kwok stages, as YAML.
func WithStages(stages ...string) Option {
	return func(o *Options) { o.Stages = append(o.Stages, stages...) }
}

func (o Options) progress() io.Writer {
	if o.Progress != nil {
		return o.Progress
	}
	return os.Stderr
}
