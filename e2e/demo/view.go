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

// indent is before everything that belongs to a step.
const indent = "   "

// tell prints a line for a change that a person would want to see.
func (d *demo) tell(c change, before metav1.Object) {
	switch object := c.object.(type) {
	case *eventsv1.Event:
		if c.made && object.Regarding.Kind == "KafkaConnector" {
			colour := cyan
			if object.Type == corev1.EventTypeWarning {
				colour = red
			}
			d.note("event", colour, "%s %s: %s", object.Regarding.Name, object.Reason, object.Note)
		}
	case *corev1.Pod:
		d.tellPod(object, before, c.gone)
	case *connectv1.KafkaConnector:
		d.tellStatus(object, before, c.gone)
	default:
		switch {
		case object.GetName() == "default" || object.GetName() == "kube-root-ca.crt": // every namespace has them
		case c.made:
			d.note("made", green, "%s %s", kindOf(object), object.GetName())
		case c.gone:
			d.note("gone", yellow, "%s %s", kindOf(object), object.GetName())
		}
	}
}

// tellPod prints for a pipe what the dots show on a terminal.
func (d *demo) tellPod(pod *corev1.Pod, before metav1.Object, gone bool) {
	if d.screen.tty {
		return
	}
	was, _ := before.(*corev1.Pod)
	switch {
	case gone:
		d.note("gone", yellow, "Pod %s", pod.Name)
	case env.Ready(pod) && (was == nil || !env.Ready(was) || was.UID != pod.UID):
		d.note("ready", green, "Pod %s on %s", pod.Name, pod.Spec.NodeName)
	case pod.Status.Phase == corev1.PodSucceeded:
		d.note("done", green, "Pod %s", pod.Name)
	case was != nil && env.Ready(was) && was.UID == pod.UID && pod.DeletionTimestamp == nil:
		d.note("broken", red, "Pod %s", pod.Name)
	}
}

func (d *demo) tellStatus(c *connectv1.KafkaConnector, before metav1.Object, gone bool) {
	if d.screen.tty || gone {
		return
	}
	was, _ := before.(*connectv1.KafkaConnector)
	if c.Status.State != "" && (was == nil || was.Status.State != c.Status.State || was.Status.TaskSummary != c.Status.TaskSummary) {
		d.note("status", bold, "%s %s %s", c.Name, c.Status.State, c.Status.TaskSummary)
	}
}

// note prints what happened, and how long after the step's beginning.
func (d *demo) note(what, colour, format string, args ...any) {
	since := fmt.Sprintf("+%.2fs", time.Since(d.began).Seconds())
	if what == "" {
		since = "" // it goes on from the line before
	}
	d.screen.line(indent+"%s  %s  %s", d.screen.paint(dim, fmt.Sprintf("%8s", since)),
		d.screen.paint(colour, fmt.Sprintf("%-6s", what)), fmt.Sprintf(format, args...))
}

// table is what `kubectl get kafkaconnectors` prints; a terminal also shows a dot for each pod.
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
	colours := map[string]string{"Running": green, "Pending": yellow, "Degraded": red, "Failed": red, "Paused": cyan, "Stopped": cyan}
	return d.screen.paint(cmp.Or(colours[c.Status.State], dim), c.Status.State)
}

func age(object metav1.Object) string {
	return duration.HumanDuration(time.Since(object.GetCreationTimestamp().Time))
}

// dots shows the pods of a connector: ● ready, ◐ on its way, ✗ failed, ○ not there.
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
	case pod.DeletionTimestamp == nil && len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Waiting != nil &&
		pod.Status.ContainerStatuses[0].LastTerminationState.Terminated != nil:
		return d.screen.paint(red, "✗")
	}
	return d.screen.paint(yellow, "◐")
}
