// Package event records Kubernetes events (events.k8s.io/v1).
package event

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"

	"github.com/weir-dev/weir/pkg/text"
)

// maxNote is the longest note that the API accepts, in bytes.
const maxNote = 1024

// Event describes an event before it is recorded. Pure decisions return events; Record writes them.
type Event struct {
	// Type is corev1.EventTypeNormal or corev1.EventTypeWarning.
	Type string
	// Reason is one of the documented reasons of the service, in CamelCase.
	Reason string
	// Action is the action that was taken or attempted, in CamelCase.
	Action string
	// Note is the message for users. It must not contain secrets. Record shortens it to 1024 bytes.
	Note string
	// Related is a second object of the event; optional. Events that differ only in their notes are counted as one, with
	// the first note.
	Related runtime.Object
}

// Normal returns an event of type Normal.
func Normal(reason, action, note string) Event {
	return Event{Type: corev1.EventTypeNormal, Reason: reason, Action: action, Note: note}
}

// Warning returns an event of type Warning, for conditions that a user should look into.
func Warning(reason, action, note string) Event {
	return Event{Type: corev1.EventTypeWarning, Reason: reason, Action: action, Note: note}
}

// NewRecorder returns a recorder for the component. It sends recorded events until ctx ends. scheme must contain the
// kinds that events are recorded about.
func NewRecorder(
	ctx context.Context, client kubernetes.Interface, scheme *runtime.Scheme, component string,
) events.EventRecorder {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	// StartRecordingToSinkWithContext fails only if ctx has ended. Failed requests are retried and then dropped.
	_ = broadcaster.StartRecordingToSinkWithContext(ctx)
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return broadcaster.NewRecorder(scheme, component)
}

// Record records e about the object.
func Record(r events.EventRecorder, about runtime.Object, e Event) {
	r.Eventf(about, e.Related, e.Type, e.Reason, e.Action, "%s", text.Truncate(e.Note, maxNote))
}
