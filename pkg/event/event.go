// Package event records Kubernetes events (events.k8s.io/v1) about what a person would want to see.
package event

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
)

// maxNote is the longest note that the API accepts.
const maxNote = 1024

// Event is something that happened, as data: a pure decision names it, a Recorder writes it.
type Event struct {
	// Type is corev1.EventTypeNormal or corev1.EventTypeWarning.
	Type string
	// Reason is why, in CamelCase: one of the service's documented reasons.
	Reason string
	// Action is what was done or tried, in CamelCase.
	Action string
	// Note is the sentence for people, without secrets.
	Note string
}

// Normal makes an event of ordinary life.
func Normal(reason, action, note string) Event {
	return Event{Type: corev1.EventTypeNormal, Reason: reason, Action: action, Note: note}
}

// Warning makes an event that somebody should look into.
func Warning(reason, action, note string) Event {
	return Event{Type: corev1.EventTypeWarning, Reason: reason, Action: action, Note: note}
}

// NewRecorder makes a recorder for the component and starts to send what it records until ctx ends.
// The scheme has to know the kinds that events are recorded about.
func NewRecorder(ctx context.Context, client kubernetes.Interface, scheme *runtime.Scheme, component string) events.EventRecorder {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	// Sending has no error to give: an API server that is away is tried again, and events are not worth a failure.
	_ = broadcaster.StartRecordingToSinkWithContext(ctx)
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return broadcaster.NewRecorder(scheme, component)
}

// Record writes e about the object.
func Record(r events.EventRecorder, about runtime.Object, e Event) {
	note := e.Note
	if len(note) > maxNote {
		note = note[:maxNote-3] + "..."
	}
	r.Eventf(about, nil, e.Type, e.Reason, e.Action, "%s", note)
}
