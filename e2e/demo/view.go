package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/e2e/internal/env"
)

// indent is the indentation of the output of a step.
const indent = "   "

// printChange prints a line for an event, a created or deleted object, and on a pipe for pod and status changes.
func (d *demo) printChange(c change, before metav1.Object) {
	switch object := c.object.(type) {
	case *eventsv1.Event:
		if c.created && object.Regarding.Kind == "KafkaConnector" {
			color := cyan
			if object.Type == corev1.EventTypeWarning {
				color = red
			}
			d.note("event", color, "%s %s: %s", object.Regarding.Name, object.Reason, object.Note)
		}
	case *corev1.Pod:
		d.printPod(object, before, c.deleted)
	case *connectv1.KafkaConnector:
		d.printStatus(object, before, c.deleted)
	default:
		switch {
		case object.GetName() == "default" || object.GetName() == "kube-root-ca.crt": // exist in every namespace
		case c.created:
			d.note("created", green, "%s %s", kindOf(object), object.GetName())
		case c.deleted:
			d.note("deleted", yellow, "%s %s", kindOf(object), object.GetName())
		}
	}
}

// printPod prints pod changes on a pipe. A terminal shows them as dots.
func (d *demo) printPod(pod *corev1.Pod, before metav1.Object, deleted bool) {
	if d.screen.tty {
		return
	}
	was, _ := before.(*corev1.Pod)
	switch {
	case deleted:
		d.note("deleted", yellow, "Pod %s", pod.Name)
	case env.Ready(pod) && (was == nil || !env.Ready(was) || was.UID != pod.UID):
		d.note("ready", green, "Pod %s on %s", pod.Name, pod.Spec.NodeName)
	case pod.Status.Phase == corev1.PodSucceeded:
		d.note("succeeded", green, "Pod %s", pod.Name)
	case was != nil && env.Ready(was) && was.UID == pod.UID && pod.DeletionTimestamp == nil:
		d.note("failed", red, "Pod %s", pod.Name)
	}
}

// printStatus prints changes of a connector status on a pipe. A terminal shows them in the table.
func (d *demo) printStatus(c *connectv1.KafkaConnector, before metav1.Object, deleted bool) {
	if d.screen.tty || deleted {
		return
	}
	was, _ := before.(*connectv1.KafkaConnector)
	changed := was == nil || was.Status.State != c.Status.State || was.Status.TaskSummary != c.Status.TaskSummary
	if c.Status.State != "" && changed {
		d.note("status", bold, "%s %s %s", c.Name, c.Status.State, c.Status.TaskSummary)
	}
}

// note prints a change and its time since the start of the step.
func (d *demo) note(what, color, format string, args ...any) {
	since := fmt.Sprintf("+%.2fs", time.Since(d.began).Seconds())
	d.screen.line(indent+"%s  %s  %s", d.screen.paint(dim, fmt.Sprintf("%8s", since)),
		d.screen.paint(color, fmt.Sprintf("%-9s", what)), fmt.Sprintf(format, args...))
}

// table returns the output of `kubectl get kafkaconnectors`. On a terminal it also has a dot for each pod.
func (d *demo) table() []string {
	if d.objects == nil || len(d.objects.connectors) == 0 {
		return nil
	}
	rows := [][]string{{"NAME", "STATE", "TASKS", "RESTARTS", "AGE"}}
	if d.screen.tty {
		rows[0] = append(rows[0], d.screen.paint(dim, "connector, tasks"))
	}
	names := make([]string, 0, len(d.objects.connectors))
	for name := range d.objects.connectors {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := d.objects.connectors[name]
		row := []string{name, d.stateOf(c), c.Status.TaskSummary, fmt.Sprint(c.Status.Restarts), age(c)}
		if d.screen.tty {
			row = append(row, d.dots(c))
		}
		rows = append(rows, row)
	}
	lines := columns(rows)
	for i := range lines {
		lines[i] = indent + lines[i]
	}
	return append([]string{""}, lines...)
}

func (d *demo) stateOf(c *connectv1.KafkaConnector) string {
	colors := map[connectv1.ConnectorPhase]string{
		connectv1.PhaseRunning: green, connectv1.PhasePending: yellow, connectv1.PhaseDegraded: red,
		connectv1.PhaseFailed: red, connectv1.PhasePaused: cyan, connectv1.PhaseStopping: cyan, connectv1.PhaseStopped: cyan,
	}
	return d.screen.paint(cmp.Or(colors[c.Status.State], dim), string(c.Status.State))
}

func age(object metav1.Object) string {
	return duration.HumanDuration(time.Since(object.GetCreationTimestamp().Time))
}

// dots shows the pods of a connector: ● ready, ◐ starting or terminating, ✗ failed, ○ missing.
func (d *demo) dots(c *connectv1.KafkaConnector) string {
	var b strings.Builder
	pods := map[string]*corev1.Pod{}
	last := int(c.Status.TasksDesired)
	for _, pod := range d.objects.podsOf(c.Name) {
		pods[pod.Name] = pod
		if strings.HasPrefix(pod.Name, c.Name+"-tasks-") {
			last = max(last, index(pod)+1)
		}
	}
	b.WriteString(d.dot(pods[c.Name+"-connector-0"]) + "  ")
	for id := range last {
		b.WriteString(d.dot(pods[fmt.Sprintf("%s-tasks-%d", c.Name, id)]))
	}
	return b.String()
}

func (d *demo) dot(pod *corev1.Pod) string {
	switch {
	case pod == nil:
		return d.screen.paint(dim, "○")
	case env.Ready(pod):
		return d.screen.paint(green, "●")
	case pod.DeletionTimestamp == nil && isFailed(pod):
		return d.screen.paint(red, "✗")
	}
	return d.screen.paint(yellow, "◐")
}

// isFailed reports whether the first container of a pod waits for a restart after it has ended.
func isFailed(pod *corev1.Pod) bool {
	if len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	container := pod.Status.ContainerStatuses[0]
	return container.State.Waiting != nil && container.LastTerminationState.Terminated != nil
}
