package decide

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/oneshot"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/rollout"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/status"
)

// Plan lists the writes for a KafkaConnector in the order of its fields. The status is written before the annotations
// in Done are removed.
type Plan struct {
	// Writes are the objects to apply and to delete.
	desired.Writes
	// OneShots are the writes for one-shot pods.
	OneShots oneshot.Writes
	// Metadata are the changes of labels and annotations of running pods.
	Metadata []*desired.Metadata
	// Mark are the pods to mark for a restart.
	Mark []*corev1.Pod
	// Done are the annotations to remove from the KafkaConnector.
	Done []string
	// Restarts are the pods to delete.
	Restarts []rollout.Restart
	// Budget is the use of the limit of pods that restart at the same time.
	Budget *rollout.Budget
	// Status is the new status.
	Status connectv1.KafkaConnectorStatus
	// RequeueAfter is the time after which the decision can differ although no object has changed. 0: never.
	RequeueAfter time.Duration

	previous connectv1.KafkaConnectorStatus
	// rollout is the result of the rollout decision. It is empty while the spec is not valid.
	rollout rollout.Plan
	// creates is true if an object is created. The watch event of the object triggers the next reconcile, which has
	// more to report. Skipping the status until then saves one write for each step towards Ready.
	creates bool
	// delayEnded is true if task configs that were delayed roll out now.
	delayEnded bool
}

// Fail reports a rejected write in the status.
func (p *Plan) Fail(s observed.State, e *apply.WriteError) {
	p.creates = false
	for i, c := range p.Status.Conditions {
		if c.Type == connectv1.ConditionReady ||
			c.Type == connectv1.ConditionStorageReady && e.Kind == "PersistentVolumeClaim" {
			failed := condition.False(c.Type, connectv1.ReasonApplyRejected, e.Error())
			p.Status.Conditions[i] = condition.Merge(
				p.previous.Conditions, []metav1.Condition{failed}, s.Connector.Generation, s.Now)[0]
		}
	}
}

// until returns the time from now until the first of times. It is 0 if all times are zero.
func until(now time.Time, times ...time.Time) time.Duration {
	times = slices.DeleteFunc(times, time.Time.IsZero)
	if len(times) == 0 {
		return 0
	}
	return max(time.Millisecond, slices.MinFunc(times, time.Time.Compare).Sub(now))
}

// StatusChanged reports whether the status has to be written.
func (p *Plan) StatusChanged() bool {
	// A request that is done is not carried out again by the next reconcile.
	done := len(p.Done) > 0 || p.previous.LastRestart != p.Status.LastRestart
	return (!p.creates || done) && !equality.Semantic.DeepEqual(p.previous, p.Status)
}

// Events returns the events to record after the plan has been carried out.
func (p *Plan) Events() []event.Event {
	var events []event.Event
	for _, r := range p.Restarts {
		events = append(events, event.Normal(connectv1.ReasonRestarting, "Restart",
			fmt.Sprintf("restarting pod %s: %s", r.Pod.Name, r.Cause)))
	}
	if p.StatusChanged() {
		events = append(events, status.Events(p.previous, p.Status)...)
		if p.delayEnded {
			events = append(events, event.Normal(connectv1.ReasonDelayEnded, "Rollout",
				"the newest task configs are no longer delayed and roll out now"))
		}
	}
	return events
}

// Empty reports whether the plan writes nothing except perhaps the status.
func (p *Plan) Empty() bool {
	return p.Len()+p.OneShots.Len()+len(p.Metadata)+len(p.Mark)+len(p.Done)+len(p.Restarts) == 0
}

// OnlyProgress reports whether the plan writes nothing but a status that reports the progress of pods that start. It
// can be written later.
func (p *Plan) OnlyProgress() bool {
	return p.Empty() && p.StatusChanged() && status.OnlyProgress(p.previous, p.Status)
}
