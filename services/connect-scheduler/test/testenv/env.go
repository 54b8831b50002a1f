package testenv

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	connectscheduler "github.com/weir-dev/weir/services/connect-scheduler/internal/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/fakerunner"
)

// Timeout is the deadline of each wait. Most waits end within a second.
const Timeout = time.Minute

// Env is a namespace in which connect-scheduler and the fake connect-runner work. Its methods fail the test on errors.
type Env struct {
	*testing.T
	ControlPlane *testkit.ControlPlane
	// Weir is an administrator's client of Weir's kinds.
	Weir versioned.Interface
	// Namespace is the name of the namespace.
	Namespace string
}

var shared struct {
	sync.Once
	err error
}

// New returns a new namespace on the control plane that all tests of the package share. One connect-scheduler and one
// fake connect-runner serve all of its namespaces.
func New(t *testing.T) *Env {
	t.Helper()
	cp := testkit.Shared(t)
	shared.Do(func() {
		// The rollouts of one test must not wait for those of another.
		unlimited := func(flags *connectscheduler.Config) { flags.MaxRestartingPods = 10_000 }
		shared.err = start(context.Background(), cp, Options{Config: unlimited})
	})
	require.NoError(t, shared.err)
	return At(t, cp, cp.Namespace(t))
}

// NewIsolated returns a namespace on a control plane of its own, which takes seconds to start. Use it for tests that
// need other flags or that change cluster-scoped objects.
func NewIsolated(t *testing.T, o Options) *Env {
	t.Helper()
	cp := testkit.New(t)
	account, err := Install(t.Context(), cp)
	require.NoError(t, err)
	Start(t, func(ctx context.Context) error { return Run(ctx, account, o) })
	Start(t, func(ctx context.Context) error { return RunFakeRunner(ctx, cp.RESTConfig()) })
	return At(t, cp, cp.Namespace(t))
}

// Start runs a process in a goroutine and returns a function that stops it and waits for its end. The end of the test
// also stops it. The test fails if the process returns an error.
func Start(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// At returns an existing namespace of a control plane. It starts nothing.
func At(t *testing.T, cp *testkit.ControlPlane, namespace string) *Env {
	t.Helper()
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	return &Env{t, cp, weir, namespace}
}

// start installs connect-scheduler and runs it, and the fake connect-runner, until ctx ends.
func start(ctx context.Context, cp *testkit.ControlPlane, o Options) error {
	account, err := Install(ctx, cp)
	if err != nil {
		return err
	}
	go func() { panicOn(Run(ctx, account, o)) }()
	go func() { panicOn(RunFakeRunner(ctx, cp.RESTConfig())) }()
	return nil
}

func panicOn(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		panic(err)
	}
}

// Client returns an administrator's client of Kubernetes' own kinds.
func (e *Env) Client() kubernetes.Interface { return e.ControlPlane.Client() }

// In returns the same namespace for a subtest.
func (e *Env) In(t *testing.T) *Env {
	sub := *e
	sub.T = t
	return &sub
}

// Apply applies a YAML stream to the namespace.
func (e *Env) Apply(stream string) {
	e.Helper()
	_, err := e.ControlPlane.ApplyYAML(e.Context(), e.Namespace, stream)
	require.NoError(e, err)
}

// ApplyError applies a YAML stream that the API server must reject, and returns its error.
func (e *Env) ApplyError(stream string) string {
	e.Helper()
	_, err := e.ControlPlane.ApplyYAML(e.Context(), e.Namespace, stream)
	require.Error(e, err)
	return err.Error()
}

// Kubectl runs kubectl in the namespace as an administrator and returns its output.
func (e *Env) Kubectl(args ...string) string {
	e.Helper()
	out, err := e.ControlPlane.Kubectl(e.Context(), append(slices.Clone(args), "-n", e.Namespace)...)
	require.NoError(e, err)
	return out
}

// Patch merge-patches a KafkaConnector.
func (e *Env) Patch(name, patch string) {
	e.Helper()
	e.Kubectl("patch", "kafkaconnector", name, "--type=merge", "-p", patch)
}

// Annotate sets an annotation, given as key=value, of an object, given as kind/name.
func (e *Env) Annotate(object, annotation string) {
	e.Helper()
	e.Kubectl("annotate", "--overwrite", object, annotation)
}

// ApplyWorkerConfig applies the worker Secret of the examples, worker-config.
func (e *Env) ApplyWorkerConfig() {
	e.Helper()
	e.Apply(Example("worker-config.yaml"))
}

// StartConnector applies the KafkaConnector of Manifest and waits until it is Ready.
func (e *Env) StartConnector(name string, tasks int32, config ...string) {
	e.Helper()
	e.ApplyWorkerConfig()
	e.Apply(Manifest(name, int(tasks), config...))
	e.WaitReady(name, tasks)
}

// Connector returns a KafkaConnector.
func (e *Env) Connector(name string) *connectv1.KafkaConnector {
	e.Helper()
	c, err := e.Weir.IoV1().KafkaConnectors(e.Namespace).Get(e.Context(), name, metav1.GetOptions{})
	require.NoError(e, err)
	return c
}

// Connect returns a KafkaConnect.
func (e *Env) Connect(name string) *connectv1.KafkaConnect {
	e.Helper()
	c, err := e.Weir.IoV1().KafkaConnects(e.Namespace).Get(e.Context(), name, metav1.GetOptions{})
	require.NoError(e, err)
	return c
}

// Pod returns a pod.
func (e *Env) Pod(name string) *corev1.Pod {
	e.Helper()
	pod, err := e.Client().CoreV1().Pods(e.Namespace).Get(e.Context(), name, metav1.GetOptions{})
	require.NoError(e, err)
	return pod
}

// Claims returns the PersistentVolumeClaims of the namespace.
func (e *Env) Claims() []corev1.PersistentVolumeClaim {
	e.Helper()
	list, err := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace).List(e.Context(), metav1.ListOptions{})
	require.NoError(e, err)
	return list.Items
}

// PodUIDs returns the UIDs of the namespace's pods by name. Restarted compares them with a later state.
func (e *Env) PodUIDs() map[string]string {
	e.Helper()
	pods, err := e.Client().CoreV1().Pods(e.Namespace).List(e.Context(), metav1.ListOptions{})
	require.NoError(e, err)
	uids := map[string]string{}
	for _, pod := range pods.Items {
		uids[pod.Name] = string(pod.UID)
	}
	return uids
}

// Restarted returns the sorted names of the pods that were replaced since PodUIDs returned before.
func (e *Env) Restarted(before map[string]string) []string {
	e.Helper()
	var names []string
	for name, uid := range e.PodUIDs() {
		if old, found := before[name]; found && old != uid {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// FailPod gives a simulated pod the status of a pod whose container failed and waits for its restart.
func (e *Env) FailPod(name, reason, message string) {
	e.Helper()
	termination := contract.Termination{Reason: reason, Message: message}
	require.NoError(e, fakerunner.Fail(e.Context(), e.Client(), e.Namespace, name, termination))
}

// RecoverPod gives a simulated pod that FailPod changed the status of a running pod.
func (e *Env) RecoverPod(name string) {
	e.Helper()
	require.NoError(e, fakerunner.Recover(e.Context(), e.Client(), e.Namespace, name))
}
