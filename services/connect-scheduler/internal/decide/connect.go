package decide

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/event"
)

// ConnectState is all that a decision about one KafkaConnect depends on.
type ConnectState struct {
	// Connect is what the decision is about.
	Connect *connectv1.KafkaConnect
	// Connectors is the number of KafkaConnectors that refer to it.
	Connectors int
	// Claim is the claim of its volume.
	Claim *corev1.PersistentVolumeClaim
	// ClaimTrouble is the message of the newest warning event about the claim.
	ClaimTrouble string
	// Now is the time of the decision.
	Now time.Time
}

// ConnectPlan is what to do for a KafkaConnect.
type ConnectPlan struct {
	Claims []*corev1ac.PersistentVolumeClaimApplyConfiguration
	Status connectv1.KafkaConnectStatus

	before connectv1.KafkaConnectStatus
}

// Connect decides about one KafkaConnect.
func Connect(s ConnectState) (ConnectPlan, error) {
	k := s.Connect
	plan := ConnectPlan{before: k.Status, Status: k.Status}
	if k.DeletionTimestamp != nil {
		return plan, nil
	}
	plan.Status = connectv1.KafkaConnectStatus{ObservedGeneration: k.Generation, Connectors: int32(s.Connectors)} //nolint:gosec // a count of objects
	ready := condition.True(connectv1.ConditionReady, connectv1.ReasonAvailable, fmt.Sprintf("%d connectors refer to it", s.Connectors))
	if s.Connectors == 0 {
		ready = condition.True(connectv1.ConditionReady, connectv1.ReasonNoConnectors, "no KafkaConnector refers to it yet")
	}
	conditions := []metav1.Condition{ready}
	if storage := k.Spec.Storage; storage != nil {
		owner := claimOwner{"KafkaConnect", k.Namespace, k.Name, k.UID, storage}
		plan.Status.Claim = claimName(k.Name, storage)
		if claim := owner.claim(s.Claim); claim != nil {
			c := collector{}
			plan.Claims = differing(&c, s.Claim, claim, corev1ac.ExtractPersistentVolumeClaim)
			if c.err != nil {
				return ConnectPlan{}, fmt.Errorf("compare KafkaConnect %s/%s with what is there: %w", k.Namespace, k.Name, c.err)
			}
		}
		stored := owner.storageReady(s.Claim, s.ClaimTrouble)
		if stored.Status != metav1.ConditionTrue {
			conditions[0] = condition.False(connectv1.ConditionReady, stored.Reason, stored.Message)
		}
		conditions = append(conditions, stored)
	}
	plan.Status.Conditions = condition.Merge(k.Status.Conditions, conditions, k.Generation, s.Now)
	return plan, nil
}

// Fail tells of a write that failed in the status.
func (p *ConnectPlan) Fail(s ConnectState, f Failure) {
	for i, c := range p.Status.Conditions {
		failed := condition.False(c.Type, connectv1.ReasonApplyRejected, f.Error())
		p.Status.Conditions[i] = condition.Merge(p.before.Conditions, []metav1.Condition{failed}, s.Connect.Generation, s.Now)[0]
	}
}

// StatusChanged tells whether the status has to be written.
func (p *ConnectPlan) StatusChanged() bool { return !equality.Semantic.DeepEqual(p.before, p.Status) }

// Events are what people are told once the plan is carried out.
func (p *ConnectPlan) Events() []event.Event { return turned(p.before.Conditions, p.Status.Conditions) }
