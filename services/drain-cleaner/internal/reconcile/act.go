package reconcile

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	drainac "github.com/weir-dev/weir/generated/applyconfiguration/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/condition"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// act writes what the plan of a policy contains.
func (r *Policies) act(ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy, plan decide.StatusPlan) error {
	for _, pod := range plan.RemoveRecords {
		if err := r.removeRecord(ctx, pod); err != nil {
			return err
		}
	}
	if equality.Semantic.DeepEqual(policy.Status, plan.Status) {
		return nil
	}
	want := drainac.KafkaDrainPolicy(policy.Name, policy.Namespace).WithStatus(statusConfiguration(plan.Status))
	client := r.Weir.DrainV1alpha1().KafkaDrainPolicies(policy.Namespace)
	if _, err := apply.Status(ctx, client, r.Manager, want); apply.IgnoreNotFound(err) != nil {
		return fmt.Errorf("apply the status of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	return nil
}

// removeRecord removes the annotation of a drain that ended. It does nothing if another pod has the name now.
func (r *Policies) removeRecord(ctx context.Context, pod *decide.Pod) error {
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}}
	client := r.Kube.CoreV1().Pods(pod.Namespace)
	_, err := apply.RemoveAnnotations(ctx, client, r.Manager, object, contract.AnnotationDrain)
	if apply.IgnoreGone(err) != nil {
		return fmt.Errorf("remove annotation %s of pod %s/%s: %w", contract.AnnotationDrain, pod.Namespace, pod.Name,
			err)
	}
	return nil
}

// statusConfiguration converts a status for server-side apply.
func statusConfiguration(
	s drainv1alpha1.KafkaDrainPolicyStatus,
) *drainac.KafkaDrainPolicyStatusApplyConfiguration {
	want := drainac.KafkaDrainPolicyStatus().WithObservedGeneration(s.ObservedGeneration).WithPods(s.Pods).
		WithConditions(condition.Apply(s.Conditions)...)
	for _, d := range s.Drains {
		drain := drainac.Drain().WithPod(d.Pod).WithUID(d.UID).WithPhase(d.Phase).WithReason(d.Reason).
			WithSince(d.Since)
		if d.Node != "" {
			drain.WithNode(d.Node)
		}
		if d.BrokerID != nil {
			drain.WithBrokerID(*d.BrokerID)
		}
		if d.Message != "" {
			drain.WithMessage(d.Message)
		}
		if d.Attempts > 0 {
			drain.WithAttempts(d.Attempts)
		}
		if d.BlockingPartitionCount > 0 {
			drain.WithBlockingPartitions(d.BlockingPartitions...).
				WithBlockingPartitionCount(d.BlockingPartitionCount)
		}
		want.WithDrains(drain)
	}
	return want
}
