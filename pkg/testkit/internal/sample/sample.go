// Package toy is a controller to try the harnesses on: right, or wrong in a way that a harness must notice.
//
// Each ConfigMap labelled toy=source, with the keys value and, if wanted, shout ("yes" or "no"), is to have two others: NAME-copy
// with the value, and NAME-index with its length. They go when their source goes.
package sample

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Fault is what is wrong with a toy.
type Fault string

// The faults.
const (
	// None is wrong.
	NoFault Fault = ""
	// LosesWork takes the first of two writes for the sign that both were made.
	LosesWork Fault = "loses work when killed between two writes"
	// TrustsCache makes another copy, under a generated name, when its cache shows none.
	TrustsCache Fault = "trusts that its cache is up to date"
	// NeedsEvents removes what it made only in answer to the event of a deletion, and remembers no other way.
	NeedsEvents Fault = "relies on seeing every event"
	// NeverRests writes on and on.
	NeverStable Fault = "never comes to rest"
	// NeverUndoes does not withdraw a mark when it is no longer asked for.
	NeverUndoes Fault = "does not undo what it did for an earlier spec"
	// SwallowsErrors says nothing about a source that makes no sense.
	SwallowsErrors Fault = "does not report an invalid spec"
)

// Label marks sources.
const Label = "toy"

type toy struct {
	fault  Fault
	maps   typedv1.ConfigMapInterface
	lister listers.ConfigMapNamespaceLister
	queue  workqueue.TypedRateLimitingInterface[string]
}

// Service returns a service with the fault.
func Service(fault Fault) func(context.Context, *rest.Config, string) error {
	return func(ctx context.Context, config *rest.Config, namespace string) error {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
		informer := factory.Core().V1().ConfigMaps()
		t := &toy{
			fault: fault, maps: client.CoreV1().ConfigMaps(namespace),
			lister: informer.Lister().ConfigMaps(namespace),
			queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		}
		handle, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    t.enqueue,
			UpdateFunc: func(_, o any) { t.enqueue(o) },
			DeleteFunc: t.deleted,
		})
		if err != nil {
			return err
		}
		factory.StartWithContext(ctx)
		defer factory.Shutdown()
		if cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
			t.work(ctx)
		}
		return nil
	}
}

func (t *toy) enqueue(o any) {
	object := o.(*corev1.ConfigMap)
	if t.fault == NeedsEvents && object.Labels[Label] != "source" {
		return
	}
	name := object.Name
	for _, suffix := range []string{"-copy", "-index"} {
		name = strings.TrimSuffix(name, suffix)
	}
	t.queue.Add(name)
}

func (t *toy) deleted(o any) {
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		if t.fault == NeedsEvents {
			return
		}
		o = tombstone.Obj
	}
	t.enqueue(o)
}

func (t *toy) work(ctx context.Context) {
	stop := context.AfterFunc(ctx, t.queue.ShutDown)
	defer stop()
	for {
		name, over := t.queue.Get()
		if over {
			return
		}
		if err := t.reconcile(ctx, name); err != nil && ctx.Err() == nil {
			t.queue.AddRateLimited(name)
		} else {
			t.queue.Forget(name)
		}
		t.queue.Done(name)
	}
}

func (t *toy) reconcile(ctx context.Context, name string) error {
	source, err := t.lister.Get(name)
	if apierrors.IsNotFound(err) {
		return errors.Join(t.remove(ctx, name+"-copy"), t.remove(ctx, name+"-index"))
	}
	if err != nil || source.Labels[Label] != "source" {
		return err
	}
	if shout := source.Data["shout"]; shout != "" && shout != "yes" && shout != "no" {
		if t.fault == SwallowsErrors {
			return nil
		}
		return t.report(ctx, source, "shout must be yes or no")
	}
	if err := t.report(ctx, source, ""); err != nil {
		return err
	}
	if t.fault == TrustsCache {
		return t.generate(ctx, source)
	}
	return t.copies(ctx, source)
}

// copies makes both, the second after the first.
func (t *toy) copies(ctx context.Context, source *corev1.ConfigMap) error {
	_, err := t.lister.Get(source.Name + "-copy")
	if t.fault == LosesWork && err == nil {
		return nil
	}
	value := source.Data["value"]
	data := map[string]string{"value": value}
	if source.Data["shout"] == "yes" {
		data["shouted"] = strings.ToUpper(value)
	}
	if t.fault == NeverStable {
		data["again"] = source.ResourceVersion + strconv.Itoa(t.queue.NumRequeues(source.Name))
		t.queue.AddRateLimited(source.Name)
	}
	if err := t.apply(ctx, source, "-copy", data); err != nil {
		return err
	}
	return t.apply(ctx, source, "-index", map[string]string{"length": strconv.Itoa(len(value))})
}

// apply writes only what differs, if the cache is to be believed; if it is not, the write changes nothing.
func (t *toy) apply(ctx context.Context, source *corev1.ConfigMap, suffix string, data map[string]string) error {
	name := source.Name + suffix
	present, err := t.lister.Get(name)
	if t.fault == NeverUndoes && err == nil && present.Data["shouted"] != "" {
		data["shouted"] = present.Data["shouted"]
	}
	if err == nil && fmt.Sprint(present.Data) == fmt.Sprint(data) {
		return nil
	}
	want := applyv1.ConfigMap(name, source.Namespace).WithLabels(map[string]string{Label: "product"}).WithData(data)
	_, err = t.maps.Apply(ctx, want, metav1.ApplyOptions{FieldManager: "toy", Force: true})
	return err
}

func (t *toy) generate(ctx context.Context, source *corev1.ConfigMap) error {
	present, err := t.lister.List(labels.SelectorFromSet(labels.Set{"of": source.Name}))
	if err != nil || len(present) > 0 {
		return err
	}
	_, err = t.maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: source.Name + "-", Labels: map[string]string{"of": source.Name}},
		Data:       source.Data,
	}, metav1.CreateOptions{})
	return err
}

// report puts an annotation where other objects have a condition.
func (t *toy) report(ctx context.Context, source *corev1.ConfigMap, fault string) error {
	if source.Annotations["fault"] == fault {
		return nil
	}
	own := applyv1.ConfigMap(source.Name, source.Namespace)
	if fault != "" {
		own.WithAnnotations(map[string]string{"fault": fault})
	}
	_, err := t.maps.Apply(ctx, own, metav1.ApplyOptions{FieldManager: "toy", Force: true})
	return err
}

func (t *toy) remove(ctx context.Context, name string) error {
	if _, err := t.lister.Get(name); apierrors.IsNotFound(err) && t.fault != NoFault {
		return nil
	}
	err := t.maps.Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
