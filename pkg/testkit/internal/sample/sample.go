// Package sample is a controller for the tests of the harnesses. It is correct, or has a fault that a harness must
// find.
//
// A ConfigMap with label sample=source has the keys value and, optionally, uppercase ("yes" or "no"). For each the
// controller creates two ConfigMaps: NAME-copy with the value and NAME-index with its length. It deletes them with
// their source.
package sample

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Fault is a fault of the controller.
type Fault string

// The faults.
const (
	// NoFault is the correct controller.
	NoFault Fault = ""
	// LosesWork assumes that the second write was made if the first was.
	LosesWork Fault = "loses work when killed between two writes"
	// TrustsCache creates a copy with a generated name if its cache has none.
	TrustsCache Fault = "trusts that its cache is up to date"
	// NeedsEvents deletes its ConfigMaps only after the event of the deletion.
	NeedsEvents Fault = "relies on seeing every event"
	// NeverStable writes endlessly.
	NeverStable Fault = "keeps writing"
	// NeverUndoes keeps the uppercase value when it is no longer requested.
	NeverUndoes Fault = "does not undo the previous spec"
	// SwallowsErrors does not report an invalid source.
	SwallowsErrors Fault = "does not report an invalid spec"
)

// Label is the label of sources.
const Label = "sample"

type controller struct {
	suffixes []string
	fault    Fault
	maps     typedv1.ConfigMapInterface
	lister   listers.ConfigMapNamespaceLister
	queue    workqueue.TypedRateLimitingInterface[string]
}

// Service returns a service with the fault. With suffixes ("-copy", "-index") it maintains only these ConfigMaps.
func Service(fault Fault, suffixes ...string) func(context.Context, *rest.Config, string) error {
	if len(suffixes) == 0 {
		suffixes = []string{"-copy", "-index"}
	}
	return func(ctx context.Context, config *rest.Config, namespace string) error {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
		informer := factory.Core().V1().ConfigMaps()
		c := &controller{
			suffixes: suffixes,
			fault:    fault, maps: client.CoreV1().ConfigMaps(namespace),
			lister: informer.Lister().ConfigMaps(namespace),
			queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		}
		handle, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    c.enqueue,
			UpdateFunc: func(_, o any) { c.enqueue(o) },
			DeleteFunc: c.deleted,
		})
		if err != nil {
			return err
		}
		factory.StartWithContext(ctx)
		defer factory.Shutdown()
		if cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
			c.work(ctx)
		}
		return nil
	}
}

func (c *controller) enqueue(o any) {
	object := o.(*corev1.ConfigMap)
	if c.fault == NeedsEvents && object.Labels[Label] != "source" {
		return
	}
	name := object.Name
	for _, suffix := range []string{"-copy", "-index"} {
		name = strings.TrimSuffix(name, suffix)
	}
	c.queue.Add(name)
}

func (c *controller) deleted(o any) {
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		if c.fault == NeedsEvents {
			return
		}
		o = tombstone.Obj
	}
	c.enqueue(o)
}

func (c *controller) work(ctx context.Context) {
	stop := context.AfterFunc(ctx, c.queue.ShutDown)
	defer stop()
	for {
		name, shutdown := c.queue.Get()
		if shutdown {
			return
		}
		if err := c.reconcile(ctx, name); err != nil && ctx.Err() == nil {
			c.queue.AddRateLimited(name)
		} else {
			c.queue.Forget(name)
		}
		c.queue.Done(name)
	}
}

func (c *controller) reconcile(ctx context.Context, name string) error {
	source, err := c.lister.Get(name)
	if apierrors.IsNotFound(err) {
		var err error
		for _, suffix := range c.suffixes {
			err = errors.Join(err, c.remove(ctx, name+suffix))
		}
		return err
	}
	if err != nil || source.Labels[Label] != "source" {
		return err
	}
	if upper := source.Data["uppercase"]; upper != "" && upper != "yes" && upper != "no" {
		if c.fault == SwallowsErrors {
			return nil
		}
		return c.report(ctx, source, "uppercase must be yes or no")
	}
	if err := c.report(ctx, source, ""); err != nil {
		return err
	}
	if c.fault == TrustsCache {
		return c.generate(ctx, source)
	}
	return c.copies(ctx, source)
}

// copies writes both ConfigMaps, the index after the copy.
func (c *controller) copies(ctx context.Context, source *corev1.ConfigMap) error {
	_, err := c.lister.Get(source.Name + "-copy")
	if c.fault == LosesWork && err == nil {
		return nil
	}
	value := source.Data["value"]
	data := map[string]string{"value": value}
	if source.Data["uppercase"] == "yes" {
		data["uppercase"] = strings.ToUpper(value)
	}
	if c.fault == NeverStable {
		data["again"] = source.ResourceVersion + strconv.Itoa(c.queue.NumRequeues(source.Name))
		c.queue.AddRateLimited(source.Name)
	}
	if err := c.apply(ctx, source, "-copy", data); err != nil {
		return err
	}
	return c.apply(ctx, source, "-index", map[string]string{"length": strconv.Itoa(len(value))})
}

// apply writes a ConfigMap that differs in the cache. If the cache is stale, the write changes nothing.
func (c *controller) apply(ctx context.Context, source *corev1.ConfigMap, suffix string, data map[string]string) error {
	if !slices.Contains(c.suffixes, suffix) {
		return nil
	}
	name := source.Name + suffix
	present, err := c.lister.Get(name)
	if c.fault == NeverUndoes && err == nil && present.Data["uppercase"] != "" {
		data["uppercase"] = present.Data["uppercase"]
	}
	if err == nil && fmt.Sprint(present.Data) == fmt.Sprint(data) {
		return nil
	}
	want := applyv1.ConfigMap(name, source.Namespace).WithLabels(map[string]string{Label: "product"}).WithData(data)
	_, err = c.maps.Apply(ctx, want, metav1.ApplyOptions{FieldManager: "sample", Force: true})
	return err
}

func (c *controller) generate(ctx context.Context, source *corev1.ConfigMap) error {
	present, err := c.lister.List(labels.SelectorFromSet(labels.Set{"of": source.Name}))
	if err != nil || len(present) > 0 {
		return err
	}
	_, err = c.maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: source.Name + "-", Labels: map[string]string{"of": source.Name}},
		Data:       source.Data,
	}, metav1.CreateOptions{})
	return err
}

// report sets an annotation, as other controllers set a condition.
func (c *controller) report(ctx context.Context, source *corev1.ConfigMap, fault string) error {
	if source.Annotations["fault"] == fault {
		return nil
	}
	own := applyv1.ConfigMap(source.Name, source.Namespace)
	if fault != "" {
		own.WithAnnotations(map[string]string{"fault": fault})
	}
	_, err := c.maps.Apply(ctx, own, metav1.ApplyOptions{FieldManager: "sample", Force: true})
	return err
}

func (c *controller) remove(ctx context.Context, name string) error {
	if _, err := c.lister.Get(name); apierrors.IsNotFound(err) && c.fault != NoFault {
		return nil
	}
	err := c.maps.Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
