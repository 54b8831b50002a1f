package reconcile

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// observeConnector reads the state of a KafkaConnector from the caches and computes its effective spec. It returns nil
// if the KafkaConnector does not exist.
func (c *caches) observeConnector(key controller.Key, now time.Time) (*observed.State, spec.Effective, error) {
	connector, err := cacheutil.Optional(c.connectorLister.KafkaConnectors(key.Namespace).Get(key.Name))
	if err != nil {
		return nil, spec.Effective{}, fmt.Errorf("read KafkaConnector %s: %w", key, err)
	}
	if connector == nil {
		return nil, spec.Effective{}, nil
	}
	s := &observed.State{Connector: connector, Now: now, Comparisons: c.comparisons, Settings: c.settings}
	if name := nameOf(connector.Spec.ConnectRef); name != "" {
		s.Connect, s.Errors.Connect = read("KafkaConnect", name, c.connectLister.KafkaConnects(key.Namespace).Get)
	}
	s.Objects, s.Errors.Objects = c.observeObjects(key)
	s.TaskConfigs = describe(s.Objects.TaskConfigs)
	e := spec.Of(*s)
	if e.WorkerSecret != "" {
		var worker *corev1.Secret
		secrets := c.objects.Core().V1().Secrets().Lister().Secrets(key.Namespace)
		worker, s.Errors.Worker = read("Secret", e.WorkerSecret, secrets.Get)
		s.Worker = describe(worker)
	}
	if s.Errors.Objects == nil && !s.HasStarted() {
		s.Namesakes = c.namesakes(connector)
	}
	s.Pods = observed.NewPods(key.Name, cacheutil.ByIndex[*corev1.Pod](
		c.pods.Core().V1().Pods().Informer(), byConnector, key.Namespace, key.Name))
	s.Claim, s.ClaimWarning, s.Errors.Claim = c.observeClaim(key.Namespace, e.Volume)
	s.Class, s.Errors.Class = c.storage.observe(e.Volume, s.Claim)
	return s, e, nil
}

// observeObjects reads the objects whose names derive from the name of the connector.
func (c *caches) observeObjects(key controller.Key) (observed.Objects, error) {
	connector, tasks := observed.ConnectorName(key.Name), observed.TasksName(key.Name)
	headless, candidate := observed.HeadlessName(key.Name), observed.CandidateName(key.Name)
	core, rbac, ns := c.objects.Core().V1(), c.objects.Rbac().V1(), key.Namespace
	sets := c.objects.Apps().V1().StatefulSets().Lister().StatefulSets(ns).Get
	configMaps := c.configMaps.Core().V1().ConfigMaps().Lister().ConfigMaps(ns).Get
	secrets := core.Secrets().Lister().Secrets(ns).Get
	services := core.Services().Lister().Services(ns).Get
	accounts := core.ServiceAccounts().Lister().ServiceAccounts(ns).Get
	roles, bindings := rbac.Roles().Lister().Roles(ns).Get, rbac.RoleBindings().Lister().RoleBindings(ns).Get
	budgets := c.objects.Policy().V1().PodDisruptionBudgets().Lister().PodDisruptionBudgets(ns).Get
	reads := &cacheutil.Reads{}
	objects := observed.Objects{
		ConnectorSet:     cacheutil.Get(reads, "StatefulSet", connector, sets),
		TaskSet:          cacheutil.Get(reads, "StatefulSet", tasks, sets),
		ConnectorSecret:  cacheutil.Get(reads, "Secret", connector, secrets),
		TaskConfigs:      cacheutil.Get(reads, "Secret", tasks, secrets),
		Candidate:        cacheutil.Get(reads, "Secret", candidate, secrets),
		ServiceAccount:   cacheutil.Get(reads, "ServiceAccount", connector, accounts),
		Role:             cacheutil.Get(reads, "Role", connector, roles),
		RoleBinding:      cacheutil.Get(reads, "RoleBinding", connector, bindings),
		Budget:           cacheutil.Get(reads, "PodDisruptionBudget", tasks, budgets),
		ConnectorService: cacheutil.Get(reads, "Service", connector, services),
		TaskService:      cacheutil.Get(reads, "Service", tasks, services),
		TaskHeadless:     cacheutil.Get(reads, "Service", headless, services),
	}
	for _, name := range []string{connector, tasks} {
		if configMap := cacheutil.Get(reads, "ConfigMap", name, configMaps); configMap != nil {
			objects.ConfigMaps = append(objects.ConfigMaps, configMap)
		}
	}
	return objects, reads.Err()
}

// observeConnect reads the state of a KafkaConnect from the caches. It returns nil if the KafkaConnect does not exist.
func (c *caches) observeConnect(key controller.Key, now time.Time) (*observed.ConnectState, error) {
	connect, err := cacheutil.Optional(c.connectLister.KafkaConnects(key.Namespace).Get(key.Name))
	if err != nil {
		return nil, fmt.Errorf("read KafkaConnect %s: %w", key, err)
	}
	if connect == nil {
		return nil, nil
	}
	connectors := cacheutil.ByIndex[*connectv1.KafkaConnector](
		c.connects.Io().V1().KafkaConnectors().Informer(), byConnect, key.Namespace, key.Name)
	s := &observed.ConnectState{Connect: connect, Connectors: len(connectors), Now: now}
	s.Claim, s.ClaimWarning, s.ClaimError = c.observeClaim(key.Namespace, spec.VolumeOf(connect))
	var classError error
	s.Class, classError = c.storage.observe(spec.VolumeOf(connect), s.Claim)
	s.ClaimError = errors.Join(s.ClaimError, classError)
	return s, nil
}

// observeClaim reads the claim of a volume and the message of the newest warning event about it. The volume may be nil.
func (c *caches) observeClaim(namespace string, v *spec.Volume) (*corev1.PersistentVolumeClaim, string, error) {
	if v == nil {
		return nil, "", nil
	}
	claims := c.objects.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(namespace)
	claim, err := read("PersistentVolumeClaim", v.ClaimName(), claims.Get)
	if err != nil || claim == nil {
		return nil, "", err
	}
	events := cacheutil.ByIndex[*corev1.Event](
		c.events.Core().V1().Events().Informer(), byClaim, claim.Namespace, claim.Name)
	return claim, claimWarning(claim, events), nil
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

// read reads one object with get. It returns nil if the object does not exist.
func read[T any](kind, name string, get func(string) (*T, error)) (*T, error) {
	reads := &cacheutil.Reads{}
	object := cacheutil.Get(reads, kind, name, get)
	return object, reads.Err()
}
