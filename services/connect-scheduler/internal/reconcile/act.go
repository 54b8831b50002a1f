package reconcile

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
	connectv1ac "github.com/weir-dev/weir/generated/applyconfiguration/connect/v1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

// actor carries plans out.
type actor struct {
	kube kubernetes.Interface
	weir versioned.Interface
}

// connector carries out a plan, in its order, and stops at the first write that fails. A write that the API refuses is told
// in the status; one that may go through another time is only returned. What the plan tells is news only if told is true.
// The status comes before a request is taken off, so that what became of the request is never lost.
func (a actor) connector(ctx context.Context, s *decide.State, plan *decide.Plan) (told bool, err error) {
	err = a.write(ctx, s, plan)
	if namespaceEnds(err) {
		return false, nil
	}
	var failure decide.Failure
	refused := errors.As(err, &failure) && isRefusal(failure.Err)
	switch {
	case refused:
		plan.Fail(*s, failure)
	case err != nil:
		return false, err
	}
	if plan.StatusChanged() {
		if statusErr := a.connectorStatus(ctx, s, plan); statusErr != nil {
			return false, errors.Join(err, statusErr)
		}
	}
	if err != nil {
		return true, final(failure.Err, err)
	}
	return true, a.finish(ctx, s, plan)
}

// finish takes off the requests that were met, and restarts pods.
func (a actor) finish(ctx context.Context, s *decide.State, plan *decide.Plan) error {
	if len(plan.Done) > 0 {
		if err := a.removeAnnotations(ctx, s, plan.Done); err != nil {
			return err
		}
	}
	w := writing{ctx: ctx}
	for _, restart := range plan.Restarts {
		deleteOne(&w, "Pod", a.kube.CoreV1().Pods(s.Connector.Namespace), restart.Pod)
	}
	return w.err
}

// final marks a refusal that no second try cures.
func final(refusal, err error) error {
	if apierrors.IsInvalid(refusal) {
		return controller.Terminal(err)
	}
	return err
}

func (a actor) write(ctx context.Context, s *decide.State, plan *decide.Plan) error {
	namespace, w := s.Connector.Namespace, writing{ctx: ctx}
	core, rbac := a.kube.CoreV1(), a.kube.RbacV1()
	applyAll(&w, "ServiceAccount", core.ServiceAccounts(namespace), plan.ServiceAccounts)
	applyAll(&w, "Role", rbac.Roles(namespace), plan.Roles)
	applyAll(&w, "RoleBinding", rbac.RoleBindings(namespace), plan.RoleBindings)
	applyAll(&w, "Secret", core.Secrets(namespace), plan.Secrets)
	applyAll(&w, "ConfigMap", core.ConfigMaps(namespace), plan.ConfigMaps)
	applyAll(&w, "PersistentVolumeClaim", core.PersistentVolumeClaims(namespace), plan.Claims)
	applyAll(&w, "PodDisruptionBudget", a.kube.PolicyV1().PodDisruptionBudgets(namespace), plan.Budgets)
	applyAll(&w, "Service", core.Services(namespace), plan.Services)
	applyAll(&w, "StatefulSet", a.kube.AppsV1().StatefulSets(namespace), plan.StatefulSets)
	applyAll(&w, "Pod", core.Pods(namespace), plan.OneShots)
	for _, pod := range plan.FinishedOneShots {
		deleteOne(&w, "Pod", core.Pods(namespace), pod)
	}
	for _, service := range plan.Unwanted {
		deleteOne(&w, "Service", core.Services(namespace), service)
	}
	applyAll(&w, "Pod", core.Pods(namespace), marks(plan.Mark))
	return w.err
}

// marks are the apply configurations that mark pods for a restart. The uid keeps a pod that came after from being marked.
func marks(pods []*corev1.Pod) []*corev1ac.PodApplyConfiguration {
	var marked []*corev1ac.PodApplyConfiguration
	for _, pod := range pods {
		marked = append(marked, corev1ac.Pod(pod.Name, pod.Namespace).WithUID(pod.UID).
			WithAnnotations(map[string]string{contract.ManualRollingUpdate: "true"}))
	}
	return marked
}

func (a actor) removeAnnotations(ctx context.Context, s *decide.State, keys []string) error {
	_, err := apply.RemoveAnnotations(ctx, a.weir.IoV1().KafkaConnectors(s.Connector.Namespace), decide.Manager, s.Connector, keys...)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove annotations %q: %w", keys, err)
	}
	return nil
}

func (a actor) connectorStatus(ctx context.Context, s *decide.State, plan *decide.Plan) error {
	told, err := apply.Convert[connectv1ac.KafkaConnectorStatusApplyConfiguration](plan.Status)
	if err != nil {
		return fmt.Errorf("convert the status: %w", err)
	}
	want := connectv1ac.KafkaConnector(s.Connector.Name, s.Connector.Namespace).WithUID(s.Connector.UID).WithStatus(told)
	_, err = apply.Status(ctx, a.weir.IoV1().KafkaConnectors(s.Connector.Namespace), decide.Manager, want)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("apply status: %w", err)
	}
	return nil
}

// connect carries out the plan of a KafkaConnect.
func (a actor) connect(ctx context.Context, s *decide.ConnectState, plan *decide.ConnectPlan) (told bool, err error) {
	w, namespace := writing{ctx: ctx}, s.Connect.Namespace
	applyAll(&w, "PersistentVolumeClaim", a.kube.CoreV1().PersistentVolumeClaims(namespace), plan.Claims)
	if namespaceEnds(w.err) {
		return false, nil
	}
	var failure decide.Failure
	refused := errors.As(w.err, &failure) && isRefusal(failure.Err)
	switch {
	case refused:
		plan.Fail(*s, failure)
	case w.err != nil:
		return false, w.err
	}
	if plan.StatusChanged() {
		if err := a.connectStatus(ctx, s, plan); err != nil {
			return false, errors.Join(w.err, err)
		}
	}
	return true, final(failure.Err, w.err)
}

func (a actor) connectStatus(ctx context.Context, s *decide.ConnectState, plan *decide.ConnectPlan) error {
	told, err := apply.Convert[connectv1ac.KafkaConnectStatusApplyConfiguration](plan.Status)
	if err != nil {
		return fmt.Errorf("convert the status: %w", err)
	}
	want := connectv1ac.KafkaConnect(s.Connect.Name, s.Connect.Namespace).WithUID(s.Connect.UID).WithStatus(told)
	if _, err := apply.Status(ctx, a.weir.IoV1().KafkaConnects(s.Connect.Namespace), decide.Manager, want); err != nil && !gone(err) {
		return fmt.Errorf("apply status: %w", err)
	}
	return nil
}

// writing is a row of writes that stops at the first that fails.
type writing struct {
	ctx context.Context
	err error
}

// named is what every apply configuration tells of itself.
type named interface{ GetName() *string }

func applyAll[C named, O metav1.Object](w *writing, kind string, client apply.Client[C, O], wanted []C) {
	for _, want := range wanted {
		if w.err != nil {
			return
		}
		if _, err := apply.Object(w.ctx, client, decide.Manager, want); err != nil {
			w.err = decide.Failure{Kind: kind, Name: *want.GetName(), Err: err}
		}
	}
}

func deleteOne[O metav1.Object](w *writing, kind string, client apply.Deleter, object O) {
	if w.err != nil {
		return
	}
	if err := apply.Delete(w.ctx, client, object); err != nil && !gone(err) {
		w.err = fmt.Errorf("delete %s %s: %w", kind, object.GetName(), err)
	}
}

// gone holds when an object is not there any more, or another one has its name: the cache will tell what is there now.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// namespaceEnds holds when nothing can be made any more because the namespace is being deleted.
func namespaceEnds(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// isRefusal holds when the API has understood the write and will not have it.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}
