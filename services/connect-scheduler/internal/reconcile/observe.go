package reconcile

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

// observeConnector gathers, once, all that a decision about the KafkaConnector depends on; nil when there is none.
func (w *world) observeConnector(key controller.Key, now time.Time) (*decide.State, error) {
	connector, err := found(w.connectorLister.KafkaConnectors(key.Namespace).Get(key.Name))
	if err != nil {
		return nil, fmt.Errorf("read KafkaConnector %s: %w", key, err)
	}
	if connector == nil {
		return nil, nil
	}
	s := &decide.State{Connector: connector, Now: now, Compared: w.compared}
	g := gathering{}
	if ref := refName(connector.Spec.ConnectRef); ref != "" {
		s.Connect = get(&g, ref, w.connectLister.KafkaConnects(key.Namespace).Get)
	}
	secrets := w.objects.Core().V1().Secrets().Lister().Secrets(key.Namespace).Get
	if worker := decide.WorkerSecretOf(connector, s.Connect); worker != "" {
		s.Worker = factsOf(get(&g, worker, secrets))
	}
	s.Live = w.live(&g, key)
	s.TaskConfigs = factsOf(s.Live.TaskConfigs)
	s.Pods = find[*corev1.Pod](w.pods.Core().V1().Pods().Informer(), byConnector, key.Namespace, key.Name)
	if claim := decide.ClaimOf(connector, s.Connect); claim != "" {
		s.Claim = get(&g, claim, w.objects.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(key.Namespace).Get)
		s.ClaimTrouble = w.claimTrouble(s.Claim)
	}
	return s, g.err
}

// live reads the objects under the names that belong to the connector.
func (w *world) live(g *gathering, key controller.Key) decide.Live {
	connector, tasks, headless := decide.ConnectorName(key.Name), decide.TasksName(key.Name), decide.HeadlessName(key.Name)
	core, rbac := w.objects.Core().V1(), w.objects.Rbac().V1()
	sets := w.objects.Apps().V1().StatefulSets().Lister().StatefulSets(key.Namespace).Get
	maps := core.ConfigMaps().Lister().ConfigMaps(key.Namespace).Get
	secrets := core.Secrets().Lister().Secrets(key.Namespace).Get
	services := core.Services().Lister().Services(key.Namespace).Get
	return decide.Live{
		ConnectorSet:     get(g, connector, sets),
		TaskSet:          get(g, tasks, sets),
		ConnectorConfig:  get(g, connector, maps),
		TaskRunnerConfig: get(g, tasks, maps),
		ConnectorSecret:  get(g, connector, secrets),
		TaskConfigs:      get(g, tasks, secrets),
		Candidate:        get(g, decide.CandidateName(key.Name), secrets),
		ServiceAccount:   get(g, connector, core.ServiceAccounts().Lister().ServiceAccounts(key.Namespace).Get),
		Role:             get(g, connector, rbac.Roles().Lister().Roles(key.Namespace).Get),
		RoleBinding:      get(g, connector, rbac.RoleBindings().Lister().RoleBindings(key.Namespace).Get),
		Budget:           get(g, tasks, w.objects.Policy().V1().PodDisruptionBudgets().Lister().PodDisruptionBudgets(key.Namespace).Get),
		ConnectorService: get(g, connector, services),
		TaskService:      get(g, tasks, services),
		TaskHeadless:     get(g, headless, services),
	}
}

// observeConnect gathers all that a decision about the KafkaConnect depends on; nil when there is none.
func (w *world) observeConnect(key controller.Key, now time.Time) (*decide.ConnectState, error) {
	connect, err := found(w.connectLister.KafkaConnects(key.Namespace).Get(key.Name))
	if err != nil {
		return nil, fmt.Errorf("read KafkaConnect %s: %w", key, err)
	}
	if connect == nil {
		return nil, nil
	}
	g := gathering{}
	s := &decide.ConnectState{Connect: connect, Now: now,
		Connectors: len(find[*connectv1.KafkaConnector](w.connects.Io().V1().KafkaConnectors().Informer(), byConnect, key.Namespace, key.Name))}
	if claim := decide.ClaimOfConnect(connect); claim != "" {
		s.Claim = get(&g, claim, w.objects.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(key.Namespace).Get)
		s.ClaimTrouble = w.claimTrouble(s.Claim)
	}
	return s, g.err
}

// claimTrouble is the message of the newest warning about this very claim.
func (w *world) claimTrouble(claim *corev1.PersistentVolumeClaim) string {
	if claim == nil {
		return ""
	}
	var newest *corev1.Event
	for _, e := range find[*corev1.Event](w.events.Core().V1().Events().Informer(), byClaim, claim.Namespace, claim.Name) {
		if e.InvolvedObject.UID == claim.UID && (newest == nil || eventTime(newest).Before(eventTime(e))) {
			newest = e
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Message
}

func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

// gathering keeps the first error of many reads.
type gathering struct{ err error }

// get reads one object from a cache; nil when there is none.
func get[T any](g *gathering, name string, from func(string) (*T, error)) *T {
	object, err := found(from(name))
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("read %T %s: %w", object, name, err)
	}
	return object
}

// found makes nil of what is not there.
func found[T any](object *T, err error) (*T, error) {
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}
