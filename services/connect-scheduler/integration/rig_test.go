// Package integration shows connect-scheduler at work on a real control plane with simulated nodes, under exactly the
// rights that it ships with.
package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

// patience is how long a test waits for what should take a second.
const patience = time.Minute

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	install sync.Once
	errUp   error
)

// place is a namespace on the shared control plane, in which connect-scheduler and the fake runner are at work.
type place struct {
	*testing.T
	cp        *testkit.ControlPlane
	weir      versioned.Interface
	namespace string
}

// setUp gives a test a namespace of its own; one connect-scheduler and one fake runner serve all tests.
func setUp(t *testing.T) *place {
	t.Helper()
	cp := testkit.Shared(t)
	install.Do(func() { errUp = start(cp) })
	require.NoError(t, errUp)
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	return &place{t, cp, weir, cp.Namespace(t)}
}

// start installs the service, and runs it and the fake runner as long as the process lives.
func start(cp *testkit.ControlPlane) error {
	ctx := context.Background()
	account, err := rig.Install(ctx, cp)
	if err != nil {
		return err
	}
	go func() { panicOn(rig.Service(ctx, account, rig.Options{})) }()
	go func() { panicOn(rig.FakeRunner(ctx, cp.RESTConfig())) }()
	return nil
}

func panicOn(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		panic(err)
	}
}

// apply applies a YAML stream to the test's namespace.
func (r *place) apply(stream string) {
	r.Helper()
	_, err := r.cp.ApplyYAML(r.Context(), r.namespace, stream)
	require.NoError(r, err)
}

// refused applies a YAML stream that the API must refuse, and returns its words.
func (r *place) refused(stream string) string {
	r.Helper()
	_, err := r.cp.ApplyYAML(r.Context(), r.namespace, stream)
	require.Error(r, err)
	return err.Error()
}

func (r *place) connector(name string) *connectv1.KafkaConnector {
	r.Helper()
	c, err := r.weir.IoV1().KafkaConnectors(r.namespace).Get(r.Context(), name, metav1.GetOptions{})
	require.NoError(r, err)
	return c
}

// waitFor waits until a KafkaConnector is as it should be, and returns it.
func (r *place) waitFor(name string, holds func(*connectv1.KafkaConnector) error) *connectv1.KafkaConnector {
	r.Helper()
	var last *connectv1.KafkaConnector
	testkit.Eventually(r, patience, func(ctx context.Context) error {
		c, err := r.weir.IoV1().KafkaConnectors(r.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		last = c
		if c.Status.ObservedGeneration != c.Generation {
			return fmt.Errorf("status is of generation %d, not %d", c.Status.ObservedGeneration, c.Generation)
		}
		return holds(c)
	})
	return last
}

// waitReady waits until a KafkaConnector is Ready with so many tasks.
func (r *place) waitReady(name string, tasks int32) *connectv1.KafkaConnector {
	r.Helper()
	return r.waitFor(name, func(c *connectv1.KafkaConnector) error {
		if c.Status.TasksReady != tasks || c.Status.TasksDesired != tasks {
			return fmt.Errorf("tasks are %s: %+v", c.Status.TaskSummary, c.Status.Conditions)
		}
		return is(c.Status.Conditions, "Ready", metav1.ConditionTrue, "")
	})
}

// waitCondition waits until a condition has a status and a reason.
func (r *place) waitCondition(name, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	r.Helper()
	c := r.waitFor(name, func(c *connectv1.KafkaConnector) error { return is(c.Status.Conditions, kind, status, reason) })
	return meta.FindStatusCondition(c.Status.Conditions, kind)
}

func is(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != status || reason != "" && c.Reason != reason {
		return fmt.Errorf("condition %s is not %s %s: %+v", kind, status, reason, conditions)
	}
	return nil
}

func (r *place) pod(name string) *corev1.Pod {
	r.Helper()
	pod, err := r.cp.Client().CoreV1().Pods(r.namespace).Get(r.Context(), name, metav1.GetOptions{})
	require.NoError(r, err)
	return pod
}

// uids are the uids of the pods by their name: who has been restarted shows in them.
func (r *place) uids() map[string]string {
	r.Helper()
	pods, err := r.cp.Client().CoreV1().Pods(r.namespace).List(r.Context(), metav1.ListOptions{})
	require.NoError(r, err)
	uids := map[string]string{}
	for _, pod := range pods.Items {
		uids[pod.Name] = string(pod.UID)
	}
	return uids
}

// restarted are the names of the pods that are others than before.
func (r *place) restarted(before map[string]string) []string {
	r.Helper()
	var names []string
	for name, uid := range r.uids() {
		if was, there := before[name]; there && was != uid {
			names = append(names, name)
		}
	}
	return names
}

// merge patches a KafkaConnector.
func (r *place) merge(name, patch string) {
	r.Helper()
	_, err := r.cp.Kubectl(r.Context(), "patch", "kafkaconnector", name, "-n", r.namespace, "--type=merge", "-p", patch)
	require.NoError(r, err)
}

// waitEvent waits until an event with a reason and a note is there.
func (r *place) waitEvent(reason, note string) {
	r.Helper()
	testkit.Eventually(r, patience, func(ctx context.Context) error {
		list, err := r.cp.Client().EventsV1().Events(r.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for _, e := range list.Items {
			if e.Reason == reason && e.Note == note {
				return nil
			}
			if e.Regarding.Kind == "KafkaConnector" {
				seen = append(seen, e.Reason+": "+e.Note)
			}
		}
		return fmt.Errorf("no event %s %q among %q", reason, note, seen)
	})
}
