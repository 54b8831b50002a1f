// Package env runs the service under test in a namespace of its own: it starts, kills and restarts the service's
// processes. The harnesses perturb and transition run their scenarios with it.
package env

import (
	"context"
	"time"

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
)

// Env is the environment of a scenario's steps. Its clients are those of an administrator.
type Env struct {
	*testkit.ControlPlane
	Namespace string
}

// Process is one process of the service under test, for example a controller or a node agent.
type Process struct {
	// Name is unique among the processes of a Subject.
	Name string
	// Identity returns the client configuration of the process, usually of its own ServiceAccount; the default is an
	// administrator's.
	Identity func(context.Context, Env) (*rest.Config, error)
	// Run runs the process until its context ends. Several instances run concurrently in one test process, each for one
	// namespace. A process with leader election must not wait for the lease of its killed predecessor.
	Run func(ctx context.Context, config *rest.Config, namespace string) error
}

// Subject is the service under test and the objects to compare.
type Subject struct {
	// Prepare creates everything that the service needs before it starts; optional. The names of cluster-scoped objects
	// must contain the namespace.
	Prepare func(context.Context, Env) error
	// Service and Identity are the Run and Identity of a service with one process. Leave them empty if Processes is
	// set.
	Service  func(ctx context.Context, config *rest.Config, namespace string) error
	Identity func(context.Context, Env) (*rest.Config, error)
	// Processes are the processes of a service with several. The harnesses kill and perturb them separately.
	Processes []Process
	// Compare lists the objects that must be equal at the end of each run.
	Compare []snapshot.Listing
	// Normalize removes fields that may differ between correct runs.
	Normalize []snapshot.Normalizer
	// Ignore lists resources whose writes are neither counted nor perturbed; the default is leases and events.
	Ignore []string
	// QuietPeriod is how long nothing may be written before the state counts as stable; the default is 500 ms.
	QuietPeriod time.Duration
	// Deadline is how long the state may take to become stable; the default is 1 min.
	Deadline time.Duration
	// Cleanup removes what Prepare or the service created outside of the namespace; optional.
	Cleanup func(context.Context, Env) error
}

// ServiceProcess is the name of the process of a Subject that sets Service.
const ServiceProcess = "service"

func (s Subject) withDefaults() Subject {
	if s.Service != nil {
		s.Processes = append([]Process{{Name: ServiceProcess, Identity: s.Identity, Run: s.Service}}, s.Processes...)
	}
	if s.Ignore == nil {
		s.Ignore = []string{"leases", "events"}
	}
	if s.QuietPeriod == 0 {
		s.QuietPeriod = 500 * time.Millisecond
	}
	if s.Deadline == 0 {
		s.Deadline = time.Minute
	}
	return s
}
