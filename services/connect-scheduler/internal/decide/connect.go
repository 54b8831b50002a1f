package decide

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/status"
)

// ConnectPlan lists the writes for a KafkaConnect.
type ConnectPlan struct {
	Claims []*corev1ac.PersistentVolumeClaimApplyConfiguration
	Status connectv1.KafkaConnectStatus

	previous connectv1.KafkaConnectStatus
}

// Connect returns the plan for a KafkaConnect.
func Connect(s observed.ConnectState) (ConnectPlan, error) {
	k := s.Connect
	plan := ConnectPlan{previous: k.Status, Status: k.Status}
	if k.DeletionTimestamp != nil {
		return plan, nil
	}
	if s.ClaimError != nil {
		return ConnectPlan{}, s.ClaimError
	}
	volume := spec.VolumeOf(k)
	conditions := []metav1.Condition{available(s.Connectors)}
	if storage := status.StorageReady(volume, s.Claim, s.ClaimWarning, s.Class); storage != nil {
		var err error
		if plan.Claims, err = desired.SyncClaim(volume, s.Claim); err != nil {
			return ConnectPlan{}, fmt.Errorf("compare the claim of KafkaConnect %s/%s: %w", k.Namespace, k.Name, err)
		}
		if storage.Status != metav1.ConditionTrue {
			conditions[0] = condition.False(connectv1.ConditionReady, storage.Reason, storage.Message)
		}
		conditions = append(conditions, *storage)
	}
	plan.Status = connectv1.KafkaConnectStatus{
		ObservedGeneration: k.Generation,
		Connectors:         int32(s.Connectors), //nolint:gosec // a number of objects
		Claim:              volume.ClaimName(),
		Conditions:         condition.Merge(k.Status.Conditions, conditions, k.Generation, s.Now),
	}
	return plan, nil
}

func available(connectors int) metav1.Condition {
	if connectors == 0 {
		return condition.True(connectv1.ConditionReady, connectv1.ReasonNoConnectors,
			"no KafkaConnector references the KafkaConnect")
	}
	return condition.True(connectv1.ConditionReady, connectv1.ReasonAvailable,
		fmt.Sprintf("%d KafkaConnectors reference the KafkaConnect", connectors))
}

// Fail reports a rejected write in the status.
func (p *ConnectPlan) Fail(s observed.ConnectState, e *apply.WriteError) {
	for i, c := range p.Status.Conditions {
		failed := condition.False(c.Type, connectv1.ReasonApplyRejected, e.Error())
		p.Status.Conditions[i] = condition.Merge(
			p.previous.Conditions, []metav1.Condition{failed}, s.Connect.Generation, s.Now)[0]
	}
}

// StatusChanged reports whether the status has to be written.
func (p *ConnectPlan) StatusChanged() bool { return !equality.Semantic.DeepEqual(p.previous, p.Status) }

// Events returns the events to record after the plan has been carried out.
func (p *ConnectPlan) Events() []event.Event {
	return status.ConditionEvents(p.previous.Conditions, p.Status.Conditions)
}
