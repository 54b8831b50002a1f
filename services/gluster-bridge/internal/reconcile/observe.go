//go:build linux

package reconcile

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// observe reads the state of a storage from the caches. It returns nil if the storage does not exist.
func (c *Controllers) observe(key controller.Key) *decide.State {
	ks, found := cacheutil.Lookup[*kadaluv1alpha1.KadaluStorage](c.caches.storages, key.Namespace, key.Name)
	if !found {
		return nil
	}
	state := &decide.State{
		Storage: ks, Operator: c.operator(), Probe: c.probes.last(key),
		PersistentVolumes: len(cacheutil.ByIndex[*corev1.PersistentVolume](c.caches.volumes, byStorage, "", key.String())),
	}
	state.Volumes = cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](c.caches.glusterVolumes, byStorage, "", key.String())
	return c.withClass(state, key)
}

// withClass adds what the usability of a storage depends on.
func (c *Controllers) withClass(state *decide.State, key controller.Key) *decide.State {
	if class, found := cacheutil.Lookup[*storagev1.StorageClass](c.caches.classes, "", decide.ClassOf(key.Name)); found {
		state.Class = class
	}
	return state
}

// operator returns a Deployment of kadalu's operator that is not scaled to 0, or an empty string.
func (c *Controllers) operator() string {
	for _, d := range cacheutil.List[*appsv1.Deployment](c.caches.deployments) {
		if isOperator(d) && (d.Spec.Replicas == nil || *d.Spec.Replicas > 0) {
			return d.Namespace + "/" + d.Name
		}
	}
	return ""
}

// isOperator reports whether a Deployment runs kadalu's operator.
func isOperator(d *appsv1.Deployment) bool {
	for _, container := range d.Spec.Template.Spec.Containers {
		if strings.Contains(container.Image, "kadalu/kadalu-operator") {
			return true
		}
	}
	return false
}
