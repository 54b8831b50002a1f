package reconcile

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/apply"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// act writes what the plan of a policy contains. changed reports whether the status differs from the one that was read.
func (r *Policies) act(
	ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy, plan decide.StatusPlan,
) (changed bool, err error) {
	for _, pod := range plan.RemoveRecords {
		if err := r.removeRecord(ctx, pod); err != nil {
			return false, err
		}
	}
	if equality.Semantic.DeepEqual(policy.Status, plan.Status) {
		return false, nil
	}
	// The event of a newer version reconciles again.
	next := *policy
	next.Status = plan.Status
	_, err = apply.UpdateStatus(ctx, r.Weir.DrainV1alpha1().KafkaDrainPolicies(policy.Namespace), r.Manager, &next)
	if apply.IgnoreGone(err) != nil {
		return false, fmt.Errorf("write the status of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	return true, nil
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
