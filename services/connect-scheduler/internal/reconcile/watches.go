package reconcile

import (
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

func (c *caches) watchForConnectors(queue *controller.Controller) error {
	core, rbac := c.objects.Core().V1(), c.objects.Rbac().V1()
	return errors.Join(
		controller.Watch(
			queue,
			c.connects.Io().V1().KafkaConnectors().Informer(),
			func(connector *connectv1.KafkaConnector) []controller.Key {
				return c.withRefused(controller.Self(connector))
			},
			controller.StatusOnly,
		),
		controller.Watch(queue, c.connects.Io().V1().KafkaConnects().Informer(),
			func(connect *connectv1.KafkaConnect) []controller.Key { return c.withRefused(c.referrers(connect)) },
			controller.StatusOnly),
		controller.Watch(
			queue,
			c.pods.Core().V1().Pods().Informer(),
			controller.FromLabel[*corev1.Pod](contract.LabelConnector),
		),
		controller.Watch(
			queue,
			c.objects.Apps().V1().StatefulSets().Informer(),
			ownersByName[*appsv1.StatefulSet](c),
			countsPods,
		),
		controller.Watch(queue, c.configMaps.Core().V1().ConfigMaps().Informer(), ownersByName[*corev1.ConfigMap](c)),
		controller.Watch(queue, core.ServiceAccounts().Informer(), ownersByName[*corev1.ServiceAccount](c)),
		controller.Watch(queue, core.Services().Informer(), ownersByName[*corev1.Service](c)),
		controller.Watch(queue, rbac.Roles().Informer(), ownersByName[*rbacv1.Role](c)),
		controller.Watch(queue, rbac.RoleBindings().Informer(), ownersByName[*rbacv1.RoleBinding](c)),
		controller.Watch(
			queue,
			c.objects.Policy().V1().PodDisruptionBudgets().Informer(),
			ownersByName[*policyv1.PodDisruptionBudget](c),
			controller.StatusOnly,
		),
		controller.Watch(queue, core.Secrets().Informer(), func(secret *corev1.Secret) []controller.Key {
			return append(
				ownersByName[*corev1.Secret](c)(secret),
				c.withRefused(c.usersOf(byWorker, secret.Namespace, secret.Name))...)
		}),
		controller.Watch(
			queue,
			core.PersistentVolumeClaims().Informer(),
			func(claim *corev1.PersistentVolumeClaim) []controller.Key {
				return c.usersOf(byClaim, claim.Namespace, claim.Name)
			},
		),
		controller.Watch(queue, c.events.Core().V1().Events().Informer(), func(e *corev1.Event) []controller.Key {
			return c.usersOf(byClaim, e.Namespace, claimOfEvent(e))
		}),
	)
}

func (c *caches) watchForConnects(queue *controller.Controller) error {
	claimed := func(namespace, claim string) []controller.Key {
		return keys(
			cacheutil.ByIndex[*connectv1.KafkaConnect](
				c.connects.Io().V1().KafkaConnects().Informer(),
				byClaim,
				namespace,
				claim,
			),
		)
	}
	return errors.Join(
		controller.Watch(
			queue,
			c.connects.Io().V1().KafkaConnects().Informer(),
			controller.Self[*connectv1.KafkaConnect],
			controller.StatusOnly,
		),
		controller.Watch(
			queue,
			c.connects.Io().V1().KafkaConnectors().Informer(),
			func(connector *connectv1.KafkaConnector) []controller.Key {
				if ref := nameOf(connector.Spec.ConnectRef); ref != "" {
					return []controller.Key{{Namespace: connector.Namespace, Name: ref}}
				}
				return nil
			},
			controller.StatusOnly,
		),
		controller.Watch(
			queue,
			c.objects.Core().V1().PersistentVolumeClaims().Informer(),
			func(claim *corev1.PersistentVolumeClaim) []controller.Key {
				return claimed(claim.Namespace, claim.Name)
			},
		),
		controller.Watch(queue, c.events.Core().V1().Events().Informer(), func(e *corev1.Event) []controller.Key {
			return claimed(e.Namespace, claimOfEvent(e))
		}),
	)
}

// countsPods reports whether an update changes only the numbers of pods in the status. The pods are watched themselves.
// The end of the last pod is not ignored: operations on offsets wait until the StatefulSet controller has observed it.
func countsPods(was, is *appsv1.StatefulSet) bool {
	return controller.StatusOnly(was, is) && was.Status.ObservedGeneration == is.Status.ObservedGeneration &&
		(is.Status.Replicas > 0 || was.Status.Replicas == 0)
}

// ownersByName maps an object to the KafkaConnectors from whose names the name of the object may derive. It finds
// managed objects and other objects that use the name.
func ownersByName[T metav1.Object](c *caches) controller.Mapper[T] {
	return func(object T) []controller.Key {
		var found []controller.Key
		for _, name := range observed.Owners(object.GetName()) {
			if _, err := c.connectorLister.KafkaConnectors(object.GetNamespace()).Get(name); err == nil {
				found = append(found, controller.Key{Namespace: object.GetNamespace(), Name: name})
			}
		}
		return found
	}
}

// referrers returns the KafkaConnectors that reference a KafkaConnect.
func (c *caches) referrers(connect *connectv1.KafkaConnect) []controller.Key {
	return keys(
		cacheutil.ByIndex[*connectv1.KafkaConnector](
			c.connects.Io().V1().KafkaConnectors().Informer(),
			byConnect,
			connect.Namespace,
			connect.Name,
		),
	)
}

// usersOf returns the KafkaConnectors that an index holds under a name, and those whose KafkaConnect it holds.
func (c *caches) usersOf(by, namespace, name string) []controller.Key {
	found := keys(
		cacheutil.ByIndex[*connectv1.KafkaConnector](
			c.connects.Io().V1().KafkaConnectors().Informer(),
			by,
			namespace,
			name,
		),
	)
	connects := c.connects.Io().V1().KafkaConnects().Informer()
	for _, connect := range cacheutil.ByIndex[*connectv1.KafkaConnect](connects, by, namespace, name) {
		found = append(found, c.referrers(connect)...)
	}
	return found
}

func keys[T metav1.Object](objects []T) []controller.Key {
	found := make([]controller.Key, len(objects))
	for i, object := range objects {
		found[i] = controller.Key{Namespace: object.GetNamespace(), Name: object.GetName()}
	}
	return found
}
