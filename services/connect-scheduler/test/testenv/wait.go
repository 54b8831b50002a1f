package testenv

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
)

// Eventually waits until check returns nil.
func (e *Env) Eventually(check func(context.Context) error) {
	e.Helper()
	testkit.Eventually(e, Timeout, check)
}

// WaitFor waits until the status of a KafkaConnector is current and check returns nil, and returns the KafkaConnector.
func (e *Env) WaitFor(name string, check func(*connectv1.KafkaConnector) error) *connectv1.KafkaConnector {
	e.Helper()
	var last *connectv1.KafkaConnector
	e.Eventually(func(ctx context.Context) error {
		c, err := e.Weir.IoV1().KafkaConnectors(e.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		last = c
		if c.Status.ObservedGeneration != c.Generation {
			return fmt.Errorf("observedGeneration is %d, generation is %d", c.Status.ObservedGeneration, c.Generation)
		}
		return check(c)
	})
	return last
}

// WaitReady waits until a KafkaConnector is Ready with this number of tasks.
func (e *Env) WaitReady(name string, tasks int32) *connectv1.KafkaConnector {
	e.Helper()
	return e.WaitFor(name, func(c *connectv1.KafkaConnector) error {
		if c.Status.TasksReady != tasks || c.Status.TasksDesired != tasks {
			return fmt.Errorf("tasks are %s: %+v", c.Status.TaskSummary, c.Status.Conditions)
		}
		return HasCondition(c.Status.Conditions, "Ready", metav1.ConditionTrue, "")
	})
}

// WaitTasks waits until the task summary of a KafkaConnector is ready/desired, for example "2/3".
func (e *Env) WaitTasks(name, summary string) *connectv1.KafkaConnector {
	e.Helper()
	return e.WaitFor(name, func(c *connectv1.KafkaConnector) error {
		if c.Status.TaskSummary != summary {
			return fmt.Errorf("tasks are %s: %+v", c.Status.TaskSummary, c.Status.Conditions)
		}
		return nil
	})
}

// WaitCondition waits until a condition of a KafkaConnector has this status and reason, and returns the condition.
func (e *Env) WaitCondition(name, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	e.Helper()
	c := e.WaitFor(name, func(c *connectv1.KafkaConnector) error {
		return HasCondition(c.Status.Conditions, kind, status, reason)
	})
	return meta.FindStatusCondition(c.Status.Conditions, kind)
}

// WaitConnectCondition waits until a condition of a KafkaConnect has this status and reason, and returns the condition.
func (e *Env) WaitConnectCondition(name, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	e.Helper()
	var last *metav1.Condition
	e.Eventually(func(context.Context) error {
		conditions := e.Connect(name).Status.Conditions
		last = meta.FindStatusCondition(conditions, kind)
		return HasCondition(conditions, kind, status, reason)
	})
	return last
}

// HasCondition returns an error unless a condition has this status and reason. An empty reason matches all reasons.
func HasCondition(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != status || reason != "" && c.Reason != reason {
		return fmt.Errorf("condition %s is not %s %s: %+v", kind, status, reason, conditions)
	}
	return nil
}

// WaitRestarted waits until at least count pods were replaced since PodUIDs returned before.
func (e *Env) WaitRestarted(before map[string]string, count int) {
	e.Helper()
	e.Eventually(func(context.Context) error {
		if restarted := e.Restarted(before); len(restarted) < count {
			return fmt.Errorf("%d of %d pods were restarted: %v", len(restarted), count, restarted)
		}
		return nil
	})
}

// WaitPods waits until the namespace has exactly these pods.
func (e *Env) WaitPods(names ...string) {
	e.Helper()
	e.Eventually(func(context.Context) error {
		uids := e.PodUIDs()
		for _, name := range names {
			if uids[name] == "" {
				return fmt.Errorf("pod %s is missing; pods: %v", name, uids)
			}
		}
		if len(uids) != len(names) {
			return fmt.Errorf("pods are %v, expected %v", uids, names)
		}
		return nil
	})
}

// WaitGone waits until kubectl get with these arguments finds nothing.
func (e *Env) WaitGone(args ...string) {
	e.Helper()
	e.Eventually(func(ctx context.Context) error {
		get := append([]string{"get", "--ignore-not-found", "-o", "name", "-n", e.Namespace}, args...)
		found, err := e.ControlPlane.Kubectl(ctx, get...)
		if err == nil && found != "" {
			return fmt.Errorf("not deleted: %s", found)
		}
		return err
	})
}

// WaitEvent waits for an event with this reason and note.
func (e *Env) WaitEvent(reason, note string) {
	e.Helper()
	e.Eventually(func(ctx context.Context) error {
		list, err := e.Client().EventsV1().Events(e.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for _, event := range list.Items {
			if event.Reason == reason && event.Note == note {
				return nil
			}
			if event.Regarding.Kind == "KafkaConnector" {
				seen = append(seen, event.Reason+": "+event.Note)
			}
		}
		return fmt.Errorf("no event %s %q; events: %q", reason, note, seen)
	})
}
