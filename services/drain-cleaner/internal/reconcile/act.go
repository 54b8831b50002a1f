package reconcile

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
	if _, err := apply.Status(ctx, client, r.Manager, want); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("apply the status of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	return nil
}

// removeRecord removes the annotation of a drain that ended. It does nothing if another pod has the name now.
func (r *Policies) removeRecord(ctx context.Context, pod *decide.Pod) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": map[string]any{contract.AnnotationDrain: nil},
	}})
	if err != nil {
		return fmt.Errorf("encode the patch of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	pods := r.Kube.CoreV1().Pods(pod.Namespace)
	_, err = pods.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: r.Manager})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
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
