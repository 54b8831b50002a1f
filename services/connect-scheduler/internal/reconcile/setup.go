package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

// Scheme knows Kubernetes' own kinds and those of this service.
func Scheme() *runtime.Scheme {
	kinds := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, connectv1.AddToScheme} {
		if err := add(kinds); err != nil {
			panic("build the scheme: " + err.Error())
		}
	}
	return kinds
}

// gather is short beside what it takes a pod to start or to fail, and long beside a burst of events about one connector.
const gather = 100 * time.Millisecond

// Setup builds the controllers of KafkaConnectors and KafkaConnects.
func Setup(_ context.Context, env app.Env, workers int) (app.Components, error) {
	weir, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return app.Components{}, fmt.Errorf("make the client of io.confluent.csid: %w", err)
	}
	w, err := newWorld(env.Client, weir, env.Namespace)
	if err != nil {
		return app.Components{}, err
	}
	act := actor{kube: env.Client, weir: weir}
	options := controller.Options{Workers: workers, Log: env.Log, Metrics: env.Metrics, Debounce: gather}
	connector := controller.New("kafkaconnector", connectors{w, act, env.Events, env.Now}, options)
	options.Workers = 2
	connect := controller.New("kafkaconnect", connects{w, act, env.Events, env.Now}, options)
	if err := errors.Join(w.watchForConnectors(connector), w.watchForConnects(connect)); err != nil {
		return app.Components{}, err
	}
	if err := env.Metrics.Register(gauges{w}); err != nil {
		return app.Components{}, fmt.Errorf("register metrics: %w", err)
	}
	return app.Components{
		Always: []app.Runnable{func(ctx context.Context) error {
			w.start(ctx.Done())
			<-ctx.Done()
			w.shutdown()
			return nil
		}},
		LeaderOnly:  []app.Runnable{connector.Run, connect.Run},
		ReadyChecks: map[string]health.Check{"caches": connector.Synced},
	}, nil
}

func (w *world) watchForConnectors(c *controller.Controller) error {
	core, rbac := w.objects.Core().V1(), w.objects.Rbac().V1()
	return errors.Join(
		controller.Watch(c, w.connects.Io().V1().KafkaConnectors().Informer(), controller.Self[*connectv1.KafkaConnector], controller.StatusOnly),
		controller.Watch(c, w.connects.Io().V1().KafkaConnects().Informer(), w.referrers, controller.StatusOnly),
		controller.Watch(c, w.pods.Core().V1().Pods().Informer(), controller.FromLabel[*corev1.Pod](contract.LabelConnector)),
		controller.Watch(c, w.objects.Apps().V1().StatefulSets().Informer(), ownersByName[*appsv1.StatefulSet](w), countsPods),
		controller.Watch(c, core.ConfigMaps().Informer(), ownersByName[*corev1.ConfigMap](w)),
		controller.Watch(c, core.ServiceAccounts().Informer(), ownersByName[*corev1.ServiceAccount](w)),
		controller.Watch(c, core.Services().Informer(), ownersByName[*corev1.Service](w)),
		controller.Watch(c, rbac.Roles().Informer(), ownersByName[*rbacv1.Role](w)),
		controller.Watch(c, rbac.RoleBindings().Informer(), ownersByName[*rbacv1.RoleBinding](w)),
		controller.Watch(c, w.objects.Policy().V1().PodDisruptionBudgets().Informer(), ownersByName[*policyv1.PodDisruptionBudget](w), controller.StatusOnly),
		controller.Watch(c, core.Secrets().Informer(), func(secret *corev1.Secret) []controller.Key {
			return append(ownersByName[*corev1.Secret](w)(secret), w.usersOf(byWorker, secret.Namespace, secret.Name)...)
		}),
		controller.Watch(c, core.PersistentVolumeClaims().Informer(), func(claim *corev1.PersistentVolumeClaim) []controller.Key {
			return w.usersOf(byClaim, claim.Namespace, claim.Name)
		}),
		controller.Watch(c, w.events.Core().V1().Events().Informer(), func(e *corev1.Event) []controller.Key {
			return w.usersOf(byClaim, e.Namespace, e.InvolvedObject.Name)
		}),
	)
}

func (w *world) watchForConnects(c *controller.Controller) error {
	claimed := func(namespace, claim string) []controller.Key {
		return keys(find[*connectv1.KafkaConnect](w.connects.Io().V1().KafkaConnects().Informer(), byClaim, namespace, claim))
	}
	return errors.Join(
		controller.Watch(c, w.connects.Io().V1().KafkaConnects().Informer(), controller.Self[*connectv1.KafkaConnect], controller.StatusOnly),
		controller.Watch(c, w.connects.Io().V1().KafkaConnectors().Informer(), func(connector *connectv1.KafkaConnector) []controller.Key {
			if ref := refName(connector.Spec.ConnectRef); ref != "" {
				return []controller.Key{{Namespace: connector.Namespace, Name: ref}}
			}
			return nil
		}, controller.StatusOnly),
		controller.Watch(c, w.objects.Core().V1().PersistentVolumeClaims().Informer(), func(claim *corev1.PersistentVolumeClaim) []controller.Key {
			return claimed(claim.Namespace, claim.Name)
		}),
		controller.Watch(c, w.events.Core().V1().Events().Informer(), func(e *corev1.Event) []controller.Key {
			return claimed(e.Namespace, e.InvolvedObject.Name)
		}),
	)
}

// countsPods holds for an update that only tells how many pods there are: the pods themselves are watched.
func countsPods(was, is *appsv1.StatefulSet) bool {
	return controller.StatusOnly(was, is) && was.Status.ObservedGeneration == is.Status.ObservedGeneration
}

// ownersByName maps an object to the KafkaConnectors whose names its own may be derived from. That finds what was made
// here, and what somebody else has put in its place.
func ownersByName[T metav1.Object](w *world) controller.Mapper[T] {
	return func(object T) []controller.Key {
		var found []controller.Key
		for _, name := range decide.Owners(object.GetName()) {
			if _, err := w.connectorLister.KafkaConnectors(object.GetNamespace()).Get(name); err == nil {
				found = append(found, controller.Key{Namespace: object.GetNamespace(), Name: name})
			}
		}
		return found
	}
}

// referrers are the KafkaConnectors that refer to a KafkaConnect.
func (w *world) referrers(connect *connectv1.KafkaConnect) []controller.Key {
	return keys(find[*connectv1.KafkaConnector](w.connects.Io().V1().KafkaConnectors().Informer(), byConnect, connect.Namespace, connect.Name))
}

// usersOf are the KafkaConnectors that use what is filed under a name, themselves or by their KafkaConnect.
func (w *world) usersOf(by, namespace, name string) []controller.Key {
	found := keys(find[*connectv1.KafkaConnector](w.connects.Io().V1().KafkaConnectors().Informer(), by, namespace, name))
	for _, connect := range find[*connectv1.KafkaConnect](w.connects.Io().V1().KafkaConnects().Informer(), by, namespace, name) {
		found = append(found, w.referrers(connect)...)
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
