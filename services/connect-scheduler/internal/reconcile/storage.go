package reconcile

import (
	"errors"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// storageCaches are the caches of StorageClasses and PersistentVolumes. The permissions to read them are optional: they
// are cluster-wide, and the namespaced overlay has none. Without them no StorageClass is checked.
type storageCaches struct {
	starter          *cacheutil.Starter
	classes, volumes *cacheutil.Informer
}

func newStorageCaches(kube kubernetes.Interface, log *slog.Logger) *storageCaches {
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(trimStorage))
	starter := cacheutil.NewStarter(kube.Discovery().RESTClient(), log)
	return &storageCaches{
		starter: starter,
		classes: starter.Add(storagev1.SchemeGroupVersion.WithResource("storageclasses"), "",
			factory.Storage().V1().StorageClasses().Informer()),
		volumes: starter.Add(corev1.SchemeGroupVersion.WithResource("persistentvolumes"), "",
			factory.Core().V1().PersistentVolumes().Informer()),
	}
}

// trimStorage keeps the name, the class and the claim of an object.
func trimStorage(object any) (any, error) {
	switch o := object.(type) {
	case *storagev1.StorageClass:
		return &storagev1.StorageClass{TypeMeta: o.TypeMeta, ObjectMeta: trimmedMeta(o)}, nil
	case *corev1.PersistentVolume:
		return &corev1.PersistentVolume{TypeMeta: o.TypeMeta, ObjectMeta: trimmedMeta(o), Spec: corev1.PersistentVolumeSpec{
			StorageClassName: o.Spec.StorageClassName, ClaimRef: o.Spec.ClaimRef,
		}}, nil
	}
	return object, nil
}

func (c *storageCaches) addIndexers() error {
	return cacheutil.AddIndexers(c.volumes, "PersistentVolumes", cache.Indexers{
		byClass: indexByClass(func(v *corev1.PersistentVolume) string { return v.Spec.StorageClassName }),
	})
}

// indexByClass returns an index function for the name of a StorageClass, which has no namespace.
func indexByClass[T any](classOf func(T) string) cache.IndexFunc {
	return func(object any) ([]string, error) {
		if typed, ok := object.(T); ok && classOf(typed) != "" {
			return []string{classOf(typed)}, nil
		}
		return nil, nil
	}
}

// observe returns whether the class of a claim exists. claim is the live claim, or nil. The volume may be nil. It
// returns an error while the caches start: a decision with an unknown class would restart pods that cannot start again.
func (c *storageCaches) observe(v *spec.Volume, claim *corev1.PersistentVolumeClaim) (observed.ClassState, error) {
	class := v.ClaimClass(claim)
	if class == "" || v == nil {
		return observed.ClassUnknown, nil
	}
	for _, informer := range []*cacheutil.Informer{c.classes, c.volumes} {
		err := informer.Err()
		switch {
		case err == nil:
		case errors.Unwrap(err) == nil:
			return observed.ClassUnknown, err
		default:
			return observed.ClassUnknown, nil
		}
	}
	if _, found, err := c.classes.GetStore().GetByKey(class); err != nil || found {
		return observed.ClassFound, nil
	}
	volumes, err := c.volumes.GetIndexer().ByIndex(byClass, class)
	if err != nil {
		return observed.ClassUnknown, err
	}
	usable := func(object any) bool {
		volume, ok := object.(*corev1.PersistentVolume)
		if !ok {
			return false
		}
		ref := volume.Spec.ClaimRef
		return ref == nil || ref.Namespace == v.Owner.Namespace && ref.Name == v.ClaimName()
	}
	if slices.ContainsFunc(volumes, usable) {
		return observed.ClassFound, nil
	}
	return observed.ClassMissing, nil
}

// watch calls enqueue with each class that appears or disappears. It does not use controller.Watch, because a
// controller waits for all of its caches.
func (c *storageCaches) watch(enqueue func(class string)) error {
	changed := func(object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		switch o := object.(type) {
		case *storagev1.StorageClass:
			enqueue(o.Name)
		case *corev1.PersistentVolume:
			enqueue(o.Spec.StorageClassName)
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed}
	for _, informer := range []cache.SharedIndexInformer{c.classes, c.volumes} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	return nil
}

// watchStorage enqueues the KafkaConnectors and KafkaConnects whose StorageClass appears or disappears.
func (c *caches) watchStorage(connectors, connects *controller.Controller) error {
	return c.storage.watch(func(class string) {
		if class == "" {
			return
		}
		for _, object := range ofClass[*connectv1.KafkaConnector](c.connects.Io().V1().KafkaConnectors().Informer(), class) {
			connectors.Enqueue(controller.Key{Namespace: object.Namespace, Name: object.Name})
		}
		for _, object := range ofClass[*connectv1.KafkaConnect](c.connects.Io().V1().KafkaConnects().Informer(), class) {
			connects.Enqueue(controller.Key{Namespace: object.Namespace, Name: object.Name})
			for _, key := range c.referrers(object) {
				connectors.Enqueue(key)
			}
		}
	})
}

func ofClass[T any](informer cache.SharedIndexInformer, class string) []T {
	objects, err := informer.GetIndexer().ByIndex(byClass, class)
	if err != nil {
		panic("read the index of classes: " + err.Error())
	}
	var found []T
	for _, object := range objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// resolvingEvents are the reasons of normal events after which older warnings about a claim are obsolete.
var resolvingEvents = []string{
	"WaitForFirstConsumer", "WaitForPodScheduled", "ProvisioningSucceeded", "VolumeResizeSuccessful",
	"FileSystemResizeSuccessful",
}

// claimOfEvent returns the claim of a warning, or of an event that makes older warnings obsolete. It is empty for other
// events.
func claimOfEvent(e *corev1.Event) string {
	if e.Type == corev1.EventTypeWarning || slices.Contains(resolvingEvents, e.Reason) {
		return e.InvolvedObject.Name
	}
	return ""
}

// claimWarning returns the message of the newest warning about a claim. It is empty if the warning is obsolete: a newer
// event or a change of the claim's conditions has resolved it, or the claim was provisioned since.
func claimWarning(claim *corev1.PersistentVolumeClaim, events []*corev1.Event) string {
	var newest *corev1.Event
	for _, e := range events {
		if e.InvolvedObject.UID == claim.UID && (newest == nil || eventTime(newest).Before(eventTime(e))) {
			newest = e
		}
	}
	if newest == nil || newest.Type != corev1.EventTypeWarning ||
		claim.Spec.VolumeName != "" && (newest.Reason == "ProvisioningFailed" || newest.Reason == "FailedBinding") {
		return ""
	}
	for _, c := range claim.Status.Conditions {
		if eventTime(newest).Before(c.LastTransitionTime.Time) {
			return ""
		}
	}
	return newest.Message
}
