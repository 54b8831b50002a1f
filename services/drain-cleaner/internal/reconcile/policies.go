package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	drainac "github.com/weir-dev/weir/generated/applyconfiguration/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/controller"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// drainingEvery is the time between looks at a policy whose pods are on their way.
	drainingEvery = 3 * time.Second
	// unfilledEvery is the time until a cache that is being filled is looked at again.
	unfilledEvery = 100 * time.Millisecond
)

// Policies reconciles KafkaDrainPolicies: it writes their status.
type Policies struct {
	Observer
	Kube    kubernetes.Interface
	Weir    versioned.Interface
	Manager string
	// ProbeEvery is the time between looks at a cluster while nobody drains: that Kafka cannot be asked is to be known before a drain
	// has to wait for it.
	ProbeEvery time.Duration
}

// Reconcile brings the status of one policy up to date.
func (r *Policies) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	policy := r.Sources.Policy(key.Namespace, key.Name)
	if policy == nil {
		return controller.Result{}, nil
	}
	situation, filled := r.observe(ctx, policy)
	if !filled {
		return controller.Result{RequeueAfter: unfilledEvery}, nil
	}
	plan := decide.Status(situation, r.Judge.Now())
	if err := r.act(ctx, policy, plan); err != nil {
		return controller.Result{}, err
	}
	switch {
	case len(plan.Status.Drains) > 0:
		return controller.Result{RequeueAfter: drainingEvery}, nil
	case policy.Spec.BootstrapServers != "":
		return controller.Result{RequeueAfter: r.ProbeEvery}, nil
	}
	return controller.Result{}, nil
}

func (r *Policies) act(ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy, plan decide.StatusPlan) error {
	for _, pod := range plan.Forget {
		if err := r.forget(ctx, pod); err != nil {
			return err
		}
	}
	if equality.Semantic.DeepEqual(policy.Status, plan.Status) {
		return nil
	}
	want := drainac.KafkaDrainPolicy(policy.Name, policy.Namespace).WithStatus(status(plan.Status))
	if _, err := apply.Status(ctx, r.Weir.DrainV1alpha1().KafkaDrainPolicies(policy.Namespace), r.Manager, want); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("apply the status of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	return nil
}

// forget takes the record of a drain that was given up off its pod, if it is still that pod.
func (r *Policies) forget(ctx context.Context, pod *decide.Pod) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "annotations": map[string]any{contract.AnnotationDrain: nil}}})
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	_, err = r.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: r.Manager})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("take the drain's record off pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

func status(s drainv1alpha1.KafkaDrainPolicyStatus) *drainac.KafkaDrainPolicyStatusApplyConfiguration {
	want := drainac.KafkaDrainPolicyStatus().WithObservedGeneration(s.ObservedGeneration).WithPods(s.Pods).WithConditions(condition.Apply(s.Conditions)...)
	for _, d := range s.Drains {
		drain := drainac.Drain().WithPod(d.Pod).WithUID(d.UID).WithPhase(d.Phase).WithReason(d.Reason).WithSince(d.Since)
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
			drain.WithBlockingPartitions(d.BlockingPartitions...).WithBlockingPartitionCount(d.BlockingPartitionCount)
		}
		want.WithDrains(drain)
	}
	return want
}

// SamePods maps a policy to all of its namespace: whether they overlap concerns each of them.
func SamePods(sources Sources) controller.Mapper[*drainv1alpha1.KafkaDrainPolicy] {
	return func(changed *drainv1alpha1.KafkaDrainPolicy) []controller.Key {
		keys := controller.Self(changed)
		for _, p := range sources.AllPolicies() {
			if p.Namespace == changed.Namespace && p.Name != changed.Name {
				keys = append(keys, controller.Key{Namespace: p.Namespace, Name: p.Name})
			}
		}
		return keys
	}
}

// HolderPolicies maps a Lease to the policies of its holders.
func HolderPolicies(lease *coordinationv1.Lease) []controller.Key {
	var keys []controller.Key
	for _, h := range claims.Read(lease) {
		if h.Policy != "" {
			keys = append(keys, controller.Key{Namespace: h.Namespace, Name: h.Policy})
		}
	}
	return keys
}
