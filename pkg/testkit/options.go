package testkit

import (
	"context"
	"io"
	"os"
)

// Options configure a control plane. The zero value has no nodes.
type Options struct {
	// Nodes is the number of simulated nodes at the start.
	Nodes int
	// Progress receives messages about slow operations, such as the first build; the default is stderr.
	Progress io.Writer
	// APIServerArgs, ControllerManagerArgs and SchedulerArgs are appended to the default arguments and override them.
	APIServerArgs, ControllerManagerArgs, SchedulerArgs []string
	// Stages are additional kwok stages (YAML), which define the behavior of simulated nodes and pods.
	Stages []string
	// Prepare runs before the controllers start; see WithPreparation.
	Prepare func(context.Context, *ControlPlane) error
	// WithoutControllers leaves out all programs but etcd and the API server; see the function of this name.
	WithoutControllers bool
}

// Option changes Options.
type Option func(*Options)

// WithNodes sets the number of simulated nodes at the start.
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

// WithPreparation runs a function after the start of the API server and before that of the controllers, the scheduler
// and the simulated kubelet.
func WithPreparation(prepare func(context.Context, *ControlPlane) error) Option {
	return func(o *Options) { o.Prepare = prepare }
}

// WithoutControllers starts etcd and the API server only: there are no nodes, no pods start, and nothing creates the
// default ServiceAccounts or collects garbage.
func WithoutControllers() Option { return func(o *Options) { o.WithoutControllers = true } }

func (o Options) progress() io.Writer {
	if o.Progress != nil {
		return o.Progress
	}
	return os.Stderr
}
