// Package condition builds and merges status conditions. The transition time of a condition changes only with its
// status.
package condition

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/weir-dev/weir/pkg/text"
)

// maxMessage is the longest message that metav1.Condition allows, in bytes.
const maxMessage = 32768

// True returns a condition with status True.
func True(conditionType, reason, message string) metav1.Condition {
	return build(conditionType, metav1.ConditionTrue, reason, message)
}

// False returns a condition with status False.
func False(conditionType, reason, message string) metav1.Condition {
	return build(conditionType, metav1.ConditionFalse, reason, message)
}

// Unknown returns a condition with status Unknown.
func Unknown(conditionType, reason, message string) metav1.Condition {
	return build(conditionType, metav1.ConditionUnknown, reason, message)
}

func build(conditionType string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type:    conditionType,
		Status:  status,
		Reason:  reason,
		Message: text.Truncate(message, maxMessage),
	}
}

// Merge returns want with the observed generation set. A condition whose status is the same in old keeps its transition
// time; all others get now. Conditions that are only in old are dropped, because want must contain all conditions that
// the writer owns.
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

// Apply converts conditions to apply configurations.
func Apply(conditions []metav1.Condition) []*metav1ac.ConditionApplyConfiguration {
	applied := make([]*metav1ac.ConditionApplyConfiguration, 0, len(conditions))
	for _, c := range conditions {
		applied = append(applied, metav1ac.Condition().
			WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return applied
}
