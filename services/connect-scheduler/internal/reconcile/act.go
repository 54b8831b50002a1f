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
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// actor carries out plans.
type actor struct {
	kube kubernetes.Interface
	weir versioned.Interface
}

// connector carries out a plan and stops after the first write that fails. A write that the API server
// rejects is reported in the status. Other errors are only returned, because a retry can succeed. The status is
// written before annotations are removed, so that the outcome of a request is never lost. written reports whether the
// status is written, so that the events of the plan can be recorded. The error is errStale if another client has
// written the KafkaConnector meanwhile.
func (a actor) connector(ctx context.Context, s *observed.State, plan *decide.Plan) (written bool, err error) {
	err = a.write(ctx, s, plan)
	if apply.IsNamespaceTerminating(err) {
		return false, nil
	}
	rejected, isRejected := rejection(err)
	switch {
	case isRejected:
		plan.Fail(*s, rejected)
	case err != nil:
		return false, err
	}
	if plan.StatusChanged() {
		if statusErr := a.connectorStatus(ctx, s, plan); statusErr != nil {
			return false, errors.Join(err, statusErr)
		}
	}
	if err != nil {
		return true, terminal(err)
	}
	return true, a.finish(ctx, s, plan)
}

// finish removes the annotations of completed requests and restarts pods.
func (a actor) finish(ctx context.Context, s *observed.State, plan *decide.Plan) error {
	if len(plan.Done) > 0 {
		if err := a.removeAnnotations(ctx, s, plan.Done); err != nil {
			return err
		}
	}
	var restarts []*corev1.Pod
	for _, restart := range plan.Restarts {
		restarts = append(restarts, restart.Pod.Pod)
	}
	b := apply.NewBatch(ctx, decide.Manager)
	apply.DeleteAll(b, "Pod", a.kube.CoreV1().Pods(s.Connector.Namespace), restarts)
	return b.Err()
}

// write writes objects that do not depend on each other at the same time. Pods need their ServiceAccount when they are
// created. They wait for Secrets, so new StatefulSets need not be written last.
func (a actor) write(ctx context.Context, s *observed.State, plan *decide.Plan) error {
	ns, b := s.Connector.Namespace, apply.NewBatch(ctx, decide.Manager).RecordIn(s.Comparisons)
	core, rbac, sets := a.kube.CoreV1(), a.kube.RbacV1(), a.kube.AppsV1().StatefulSets(ns)
	early, late := plan.StatefulSetsByOrder(s.Objects)
	apply.All(b, "ServiceAccount", core.ServiceAccounts(ns), plan.ServiceAccounts)
	b.Concurrently(
		func(b *apply.Batch) { apply.All(b, "StatefulSet", sets, early) },
		func(b *apply.Batch) {
			// A RoleBinding is refused while its Role does not exist.
			apply.All(b, "Role", rbac.Roles(ns), plan.Roles)
			apply.All(b, "RoleBinding", rbac.RoleBindings(ns), plan.RoleBindings)
		},
		func(b *apply.Batch) {
			apply.All(b, "Secret", core.Secrets(ns), plan.Secrets)
			apply.All(b, "Secret", core.Secrets(ns), plan.OneShots.Candidates)
		},
		func(b *apply.Batch) {
			apply.All(b, "PersistentVolumeClaim", core.PersistentVolumeClaims(ns), plan.Claims)
			apply.All(b, "PodDisruptionBudget", a.kube.PolicyV1().PodDisruptionBudgets(ns), plan.Budgets)
			apply.All(b, "Service", core.Services(ns), plan.Services)
		},
	)
	apply.All(b, "StatefulSet", sets, late)
	apply.DeleteAll(b, "Pod", core.Pods(ns), plan.OneShots.FinishedOneShots)
	apply.All(b, "Pod", core.Pods(ns), plan.OneShots.OneShots)
	apply.DeleteAll(b, "Service", core.Services(ns), plan.ObsoleteServices)
	apply.DeleteAll(b, "ConfigMap", core.ConfigMaps(ns), plan.ObsoleteConfigMaps)
	apply.All(b, "Pod", core.Pods(ns), marks(plan.Mark))
	if b.Err() != nil {
		return b.Err()
	}
	return a.changeMetadata(ctx, plan.Metadata)
}

// changeMetadata changes labels and annotations of running pods. The StatefulSet controller owns these fields, so
// server-side apply could not remove a label.
func (a actor) changeMetadata(ctx context.Context, changes []*desired.Metadata) error {
	for _, m := range changes {
		_, err := apply.MergePatch(ctx, a.kube.CoreV1().Pods(m.Pod.Namespace), decide.Manager, m.Pod, apply.SameUID,
			map[string]any{"metadata": map[string]any{"labels": m.Labels, "annotations": m.Annotations}})
		if err := apply.IgnoreGone(err); err != nil {
			return fmt.Errorf("change the labels of pod %s: %w", m.Pod.Name, err)
		}
	}
	return nil
}

// marks returns apply configurations that mark pods for a restart. The UID prevents that a new pod with the same name
// is marked.
func marks(pods []*corev1.Pod) []*corev1ac.PodApplyConfiguration {
	var marked []*corev1ac.PodApplyConfiguration
	for _, pod := range pods {
		marked = append(marked, corev1ac.Pod(pod.Name, pod.Namespace).WithUID(pod.UID).
			WithAnnotations(map[string]string{contract.ManualRollingUpdate: "true"}))
	}
	return marked
}

func (a actor) removeAnnotations(ctx context.Context, s *observed.State, keys []string) error {
	connectors := a.weir.IoV1().KafkaConnectors(s.Connector.Namespace)
	_, err := apply.RemoveAnnotations(ctx, connectors, decide.Manager, s.Connector, keys...)
	if err := apply.IgnoreGone(err); err != nil {
		return fmt.Errorf("remove annotations %q: %w", keys, err)
	}
	return nil
}

func (a actor) connectorStatus(ctx context.Context, s *observed.State, plan *decide.Plan) error {
	next := *s.Connector
	next.Status = plan.Status
	return writeStatus(ctx, a.weir.IoV1().KafkaConnectors(next.Namespace), &next)
}

// errStale means that another client has written the object since it was read. A decision on the older object must not
// replace its status.
var errStale = errors.New("the object has changed since it was read")

// writeStatus writes the status of the version of an object that was read.
func writeStatus[O metav1.Object](ctx context.Context, c apply.StatusUpdater[O], object O) error {
	_, err := apply.UpdateStatus(ctx, c, decide.Manager, object)
	switch {
	case apierrors.IsConflict(err):
		return errStale
	case apply.IgnoreNotFound(err) != nil:
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

// connect carries out the plan of a KafkaConnect. See connector.
func (a actor) connect(
	ctx context.Context, s *observed.ConnectState, plan *decide.ConnectPlan,
) (written bool, err error) {
	b := apply.NewBatch(ctx, decide.Manager)
	claims := a.kube.CoreV1().PersistentVolumeClaims(s.Connect.Namespace)
	apply.All(b, "PersistentVolumeClaim", claims, plan.Claims)
	if apply.IsNamespaceTerminating(b.Err()) {
		return false, nil
	}
	rejected, isRejected := rejection(b.Err())
	switch {
	case isRejected:
		plan.Fail(*s, rejected)
	case b.Err() != nil:
		return false, b.Err()
	}
	if plan.StatusChanged() {
		next := *s.Connect
		next.Status = plan.Status
		if err := writeStatus(ctx, a.weir.IoV1().KafkaConnects(next.Namespace), &next); err != nil {
			return false, errors.Join(b.Err(), err)
		}
	}
	return true, terminal(b.Err())
}

// rejection returns the failed write if the API server rejected it.
func rejection(err error) (*apply.WriteError, bool) {
	var failed *apply.WriteError
	isWrite := errors.As(err, &failed)
	return failed, isWrite && apply.IsRejected(failed.Err)
}

// terminal marks the error of an invalid object, for which a retry is useless.
func terminal(err error) error {
	if apierrors.IsInvalid(err) {
		return controller.Terminal(err)
	}
	return err
}
