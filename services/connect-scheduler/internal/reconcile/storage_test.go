package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestResolvedWarningsAboutAClaimDoNotAppear(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	event := func(minute int, kind, reason string) *corev1.Event {
		return &corev1.Event{
			InvolvedObject: corev1.ObjectReference{Name: "c", UID: "uid"}, Type: kind, Reason: reason,
			Message: reason, LastTimestamp: metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute)),
		}
	}
	failed := event(1, corev1.EventTypeWarning, "ProvisioningFailed")
	resize := event(1, corev1.EventTypeWarning, "VolumeResizeFailed")
	other := event(5, corev1.EventTypeWarning, "ProvisioningFailed")
	other.InvolvedObject.UID = "previous"
	for name, test := range map[string]struct {
		events []*corev1.Event
		volume string
		resize time.Time
		want   string
	}{
		"a current warning":                {events: []*corev1.Event{failed}, want: "ProvisioningFailed"},
		"a warning about a previous claim": {events: []*corev1.Event{other}},
		"the class now waits for the first pod": {
			events: []*corev1.Event{failed, event(2, "Normal", "WaitForFirstConsumer")},
		},
		"the warning is newer than the event": {
			events: []*corev1.Event{event(0, "Normal", "WaitForFirstConsumer"), failed},
			want:   "ProvisioningFailed",
		},
		"the claim was provisioned": {events: []*corev1.Event{failed}, volume: "pv"},
		"a resize fails":            {events: []*corev1.Event{resize}, volume: "pv", want: "VolumeResizeFailed"},
		"a later resize began after the warning": {
			events: []*corev1.Event{resize},
			volume: "pv",
			resize: noon.Add(time.Hour),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "uid"}}
			claim.Spec.VolumeName = test.volume
			if !test.resize.IsZero() {
				claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{
					{Type: corev1.PersistentVolumeClaimResizing, LastTransitionTime: metav1.NewTime(test.resize)},
				}
			}
			require.Equal(t, test.want, claimWarning(claim, test.events))
		})
	}
}

func TestOnlyRelevantEventsOfAClaimCauseAReconcile(t *testing.T) {
	t.Parallel()
	about := corev1.ObjectReference{Name: "c"}
	for _, test := range []struct{ kind, reason, want string }{
		{"Warning", "ProvisioningFailed", "c"}, {"Normal", "WaitForFirstConsumer", "c"},
		{"Normal", "ExternalProvisioning", ""}, {"Normal", "Provisioning", ""},
	} {
		require.Equal(t, test.want, claimOfEvent(&corev1.Event{InvolvedObject: about, Type: test.kind, Reason: test.reason}))
	}
}
