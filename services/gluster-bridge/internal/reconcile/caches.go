//go:build linux

package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

const (
	// byStorage indexes PersistentVolumes and GlusterVolumes by the namespace and name of their storage.
	byStorage = "storage"
	// byProject indexes GlusterVolumes by their project id.
	byProject = "project"
)

// caches holds the shared informers and their indexes.
type caches struct {
	objects informers.SharedInformerFactory
	weir    externalversions.SharedInformerFactory
	// starter starts the informers of weir, whose CustomResourceDefinitions can be missing.
	starter *cacheutil.Starter

	storages, volumes, classes, deployments, glusterVolumes cache.SharedIndexInformer
}

func newCaches(
	kube kubernetes.Interface, weir versioned.Interface, namespace string, log *slog.Logger,
) (*caches, error) {
	c := &caches{
		objects: informers.NewSharedInformerFactoryWithOptions(kube, 0,
			informers.WithTransform(cacheutil.Transform(cacheutil.DropManagedFields))),
		weir: externalversions.NewSharedInformerFactoryWithOptions(weir, 0,
			externalversions.WithNamespace(namespace),
			externalversions.WithTransform(cacheutil.Transform(cacheutil.KeepManager(decide.Manager)))),
		starter: cacheutil.NewStarter(kube.Discovery().RESTClient(), log),
	}
	c.volumes = c.objects.Core().V1().PersistentVolumes().Informer()
	c.classes = informers.NewSharedInformerFactoryWithOptions(kube, 0,
		informers.WithTransform(cacheutil.Transform(cacheutil.KeepManager(decide.Manager)))).
		Storage().V1().StorageClasses().Informer()
	c.deployments = c.objects.Apps().V1().Deployments().Informer()
	c.storages = c.weir.Kadalu().V1alpha1().KadaluStorages().Informer()
	c.starter.Add(kadaluv1alpha1.SchemeGroupVersion.WithResource("kadalustorages"), "", c.storages)
	c.glusterVolumes = c.weir.Storage().V1alpha1().GlusterVolumes().Informer()
	c.starter.Add(storagev1alpha1.SchemeGroupVersion.WithResource("glustervolumes"), "", c.glusterVolumes)
	return c, errors.Join(
		cacheutil.AddIndexers(c.volumes, "PersistentVolumes", cache.Indexers{byStorage: volumesByStorage}),
		cacheutil.AddIndexers(c.glusterVolumes, "GlusterVolumes", cache.Indexers{
			byStorage: glusterVolumesByStorage, byProject: glusterVolumesByProject,
		}),
	)
}

// run runs the informers until ctx ends.
func (c *caches) run(ctx context.Context) error {
	go c.classes.RunWithContext(ctx)
	c.objects.Start(ctx.Done())
	err := c.starter.Run(ctx)
	c.objects.Shutdown()
	return err
}

func volumesByStorage(object any) ([]string, error) {
	pv, ok := object.(*corev1.PersistentVolume)
	if !ok {
		return nil, nil
	}
	return storagesOf(pv), nil
}

func glusterVolumesByStorage(object any) ([]string, error) {
	gv, ok := object.(*storagev1alpha1.GlusterVolume)
	if !ok || len(keyOf(gv)) == 0 {
		return nil, nil
	}
	return []string{gv.Spec.Storage}, nil
}

func glusterVolumesByProject(object any) ([]string, error) {
	gv, ok := object.(*storagev1alpha1.GlusterVolume)
	if !ok {
		return nil, nil
	}
	return []string{projectKey(gv.Spec.ProjectID)}, nil
}

func projectKey(project int64) string { return strconv.FormatInt(project, 10) }

// storagesOf returns the storage of a PersistentVolume of the driver.
func storagesOf(pv *corev1.PersistentVolume) []string {
	if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != decide.Driver {
		return nil
	}
	id, err := decide.ParseVolumeID(pv.Spec.CSI.VolumeHandle)
	if err != nil {
		return nil
	}
	return []string{id.StorageID()}
}

// watch adds the watches of the controllers. changed is called after each change of a GlusterVolume.
func (c *caches) watch(to, volumes *controller.Controller, changed func(object any)) error {
	_, err := c.glusterVolumes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, updated any) { changed(updated) },
	})
	return errors.Join(
		err,
		controller.Watch(volumes, c.glusterVolumes, keyOf),
		controller.Watch(to, c.glusterVolumes, func(gv *storagev1alpha1.GlusterVolume) []controller.Key {
			if id, ok := decide.VolumeOf(gv); ok {
				return []controller.Key{storageKey(id)}
			}
			return nil
		}, sameLimit),
		controller.Watch(to, c.storages, controller.Self[*kadaluv1alpha1.KadaluStorage]),
		controller.Watch(to, c.classes, func(class *storagev1.StorageClass) []controller.Key {
			return c.named(class.Name)
		}),
		controller.Watch(to, c.volumes, func(pv *corev1.PersistentVolume) []controller.Key {
			var keys []controller.Key
			for _, id := range storagesOf(pv) {
				v, _ := decide.ParseVolumeID(id + "/")
				keys = append(keys, controller.Key{Namespace: v.Namespace, Name: v.Storage})
			}
			return keys
		}),
		controller.Watch(to, c.deployments, func(d *appsv1.Deployment) []controller.Key {
			if !isOperator(d) {
				return nil
			}
			return c.named("")
		}, controller.StatusOnly[*appsv1.Deployment]),
	)
}

// sameLimit ignores updates of a GlusterVolume that do not change the status of its storage.
func sameLimit(old, updated *storagev1alpha1.GlusterVolume) bool {
	return old.UID == updated.UID && old.Generation == updated.Generation &&
		sameConditions(old.Status.Conditions, updated.Status.Conditions) && enforcing(old) == enforcing(updated)
}

// enforcing reports whether a brick of a GlusterVolume enforces a limit.
func enforcing(gv *storagev1alpha1.GlusterVolume) bool {
	return slices.ContainsFunc(gv.Status.Bricks, func(b storagev1alpha1.BrickStatus) bool {
		return b.State == storagev1alpha1.BrickEnforced
	})
}

// named returns the keys of the storages whose StorageClass has a name, or of all if it is empty.
func (c *caches) named(class string) []controller.Key {
	var keys []controller.Key
	for _, s := range cacheutil.List[*kadaluv1alpha1.KadaluStorage](c.storages) {
		if class == "" || decide.ClassOf(s.Name) == class {
			keys = append(keys, controller.Key{Namespace: s.Namespace, Name: s.Name})
		}
	}
	return keys
}
