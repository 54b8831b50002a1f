// Package condition merges status conditions, so that a condition's transition time moves only when its status does.
package condition

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
)

// maxMessage is the longest message that the API accepts for a condition (metav1.Condition).
const maxMessage = 32768

// True makes a condition that holds.
func True(kind, reason, message string) metav1.Condition {
	return build(kind, metav1.ConditionTrue, reason, message)
}

// False makes a condition that does not hold.
func False(kind, reason, message string) metav1.Condition {
	return build(kind, metav1.ConditionFalse, reason, message)
}

// Unknown makes a condition of which nothing is known yet.
func Unknown(kind, reason, message string) metav1.Condition {
	return build(kind, metav1.ConditionUnknown, reason, message)
}

func build(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// Merge gives the conditions of want the observed generation, and the transition time that they had in old where their
// status is still the same. Conditions of old that want does not name are dropped: want is all that its writer owns.
func Merge(old, want []metav1.Condition, generation int64, now time.Time) []metav1.Condition {
	merged := make([]metav1.Condition, 0, len(want))
	for _, c := range want {
		c.ObservedGeneration = generation
		c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
		if before := meta.FindStatusCondition(old, c.Type); before != nil && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
		merged = append(merged, c)
	}
	return merged
}

// Apply turns conditions into their apply configurations.
func Apply(conditions []metav1.Condition) []*metav1ac.ConditionApplyConfiguration {
	applied := make([]*metav1ac.ConditionApplyConfiguration, 0, len(conditions))
	for _, c := range conditions {
		applied = append(applied, metav1ac.Condition().
			WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return applied
}
