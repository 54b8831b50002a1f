package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
)

// objects caches the objects of the demo namespace from watches.
type objects struct {
	connectors map[string]*connectv1.KafkaConnector
	pods       map[string]*corev1.Pod
	events     []*eventsv1.Event
	changes    chan change
	shutdown   []func()
}

// change is a watch event: the current object, or the last known one of a deleted object.
type change struct {
	object  metav1.Object
	created bool
	deleted bool
}

// watch starts watching a namespace until the context ends.
func watch(ctx context.Context, connection *rest.Config, namespace string) (*objects, error) {
	kube, err := kubernetes.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	weir, err := versioned.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	o := &objects{
		connectors: map[string]*connectv1.KafkaConnector{},
		pods:       map[string]*corev1.Pod{},
		changes:    make(chan change),
	}
	core := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(namespace))
	own := externalversions.NewSharedInformerFactoryWithOptions(weir, 0, externalversions.WithNamespace(namespace))
	for _, informer := range []cache.SharedIndexInformer{
		own.Io().V1().KafkaConnectors().Informer(),
		core.Core().V1().Pods().Informer(),
		core.Core().V1().Secrets().Informer(),
		core.Core().V1().ServiceAccounts().Informer(),
		core.Rbac().V1().Roles().Informer(),
		core.Rbac().V1().RoleBindings().Informer(),
		core.Policy().V1().PodDisruptionBudgets().Informer(),
		core.Apps().V1().StatefulSets().Informer(),
		core.Events().V1().Events().Informer(),
	} {
		if _, err := informer.AddEventHandler(o.handler(ctx)); err != nil {
			return nil, fmt.Errorf("watch %s: %w", namespace, err)
		}
	}
	core.Start(ctx.Done())
	own.Start(ctx.Done())
	o.shutdown = []func(){core.Shutdown, own.Shutdown}
	return o, nil
}

func (o *objects) handler(ctx context.Context) cache.ResourceEventHandler {
	send := func(object any, created, deleted bool) {
		if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		if typed, ok := object.(metav1.Object); ok {
			select {
			case o.changes <- change{typed, created, deleted}:
			case <-ctx.Done():
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { send(object, true, false) },
		UpdateFunc: func(_, object any) { send(object, false, false) },
		DeleteFunc: func(object any) { send(object, false, true) },
	}
}

// update stores a change and returns the previous object.
func (o *objects) update(c change) (before metav1.Object) {
	switch object := c.object.(type) {
	case *connectv1.KafkaConnector:
		return store(o.connectors, object, c.deleted)
	case *corev1.Pod:
		return store(o.pods, object, c.deleted)
	case *eventsv1.Event:
		if !c.deleted {
			o.events = append(o.events, object)
		}
	}
	return nil
}

func store[T metav1.Object](known map[string]T, object T, deleted bool) metav1.Object {
	before, found := known[object.GetName()]
	if deleted {
		delete(known, object.GetName())
	} else {
		known[object.GetName()] = object
	}
	if !found {
		return nil
	}
	return before
}

// kindOf returns the kind of an object. Objects from informers have no kind.
func kindOf(object metav1.Object) string {
	switch object.(type) {
	case *connectv1.KafkaConnector:
		return "KafkaConnector"
	case *corev1.Pod:
		return "Pod"
	case *corev1.Secret:
		return "Secret"
	case *corev1.ServiceAccount:
		return "ServiceAccount"
	case *rbacv1.Role:
		return "Role"
	case *rbacv1.RoleBinding:
		return "RoleBinding"
	case *policyv1.PodDisruptionBudget:
		return "PodDisruptionBudget"
	case *appsv1.StatefulSet:
		return "StatefulSet"
	}
	return "object"
}

// podsOf returns the pods of a connector: the connector pod, then the task pods by ID.
func (o *objects) podsOf(connector string) []*corev1.Pod {
	var found []*corev1.Pod
	for _, pod := range o.pods {
		if pod.Labels[contract.LabelConnector] == connector {
			found = append(found, pod)
		}
	}
	slices.SortFunc(found, func(a, b *corev1.Pod) int {
		if kind := strings.Compare(a.Labels[contract.LabelType], b.Labels[contract.LabelType]); kind != 0 {
			return kind
		}
		return index(a) - index(b)
	})
	return found
}

func index(pod *corev1.Pod) int {
	id, _ := strconv.Atoi(pod.Name[strings.LastIndex(pod.Name, "-")+1:])
	return id
}

// uids returns the UID of each pod of a connector by name. A restarted pod has a new UID.
func (o *objects) uids(connector string) map[string]string {
	uids := map[string]string{}
	for _, pod := range o.podsOf(connector) {
		uids[pod.Name] = string(pod.UID)
	}
	return uids
}

// restarted returns the names of the pods whose UID has changed.
func (o *objects) restarted(connector string, before map[string]string) []string {
	var names []string
	for _, pod := range o.podsOf(connector) {
		if uid, found := before[pod.Name]; found && uid != string(pod.UID) {
			names = append(names, pod.Name)
		}
	}
	return names
}

// ready returns nil when the current generation of a connector is Ready with a number of tasks.
func (o *objects) ready(name string, tasks int32) error {
	c := o.connectors[name]
	if c == nil {
		return fmt.Errorf("KafkaConnector %s does not exist yet", name)
	}
	condition := conditionOf(c, "Ready")
	switch {
	case c.Status.ObservedGeneration != c.Generation:
		return fmt.Errorf(
			"the status of %s is for generation %d, want %d",
			name,
			c.Status.ObservedGeneration,
			c.Generation,
		)
	case condition.Status != metav1.ConditionTrue:
		return fmt.Errorf("%s is not Ready: %s %s", name, condition.Reason, condition.Message)
	case c.Status.TasksReady != tasks || c.Status.TasksDesired != tasks:
		return fmt.Errorf("%s has %s tasks, want %d", name, c.Status.TaskSummary, tasks)
	}
	for _, pod := range o.podsOf(name) {
		if !env.Ready(pod) {
			return fmt.Errorf("pod %s is not Ready", pod.Name)
		}
	}
	return nil
}

func conditionOf(c *connectv1.KafkaConnector, kind string) metav1.Condition {
	for _, condition := range c.Status.Conditions {
		if condition.Type == kind {
			return condition
		}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown}
}

// hasEvents returns nil when a connector has events with all reasons since a time.
func (o *objects) hasEvents(connector string, since time.Time, reasons ...string) error {
	for _, e := range o.events {
		if i := slices.Index(reasons, e.Reason); i >= 0 && e.Regarding.Name == connector &&
			!e.EventTime.Time.Before(since) {
			reasons = slices.Delete(slices.Clone(reasons), i, i+1)
		}
	}
	if len(reasons) > 0 {
		return fmt.Errorf("%s has no event %s yet", connector, strings.Join(reasons, ", "))
	}
	return nil
}
