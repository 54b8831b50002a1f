package reconcile

import (
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

func (c *caches) watchForSets(queue *controller.Controller) error {
	return errors.Join(
		controller.Watch(queue, c.sets, controller.Self[*storagev1alpha1.KafkaLocalVolumeSet]),
		controller.WatchChanges(queue, c.sets, c.setsAfterSet),
		controller.WatchChanges(queue, c.agents, c.setsAfterAgent),
		controller.Watch(queue, c.nodes, func(*corev1.Node) []controller.Key { return c.everySet() }, sameNode),
		controller.Watch(queue, c.volumes, c.setsOfVolume, sameVolume),
		controller.Watch(queue, c.claims, func(claim *corev1.PersistentVolumeClaim) []controller.Key {
			return c.setsWithClaim(claim.Namespace, claim.Name)
		}),
		controller.Watch(queue, c.pods, func(pod *corev1.Pod) []controller.Key {
			var found []controller.Key
			for _, claim := range claimsOfPod(pod) {
				found = append(found, c.setsWithClaim(pod.Namespace, claim)...)
			}
			return found
		}),
		controller.Watch(queue, c.classes, func(*storagev1.StorageClass) []controller.Key { return c.everySet() }),
		controller.Watch(queue, c.wipes, func(wipe *storagev1alpha1.VolumeWipe) []controller.Key {
			return c.setsIn(wipe.Namespace)
		}),
	)
}

func (c *caches) watchForClaims(queue *controller.Controller) error {
	// onNode returns the claims whose volume is on a node, or will be.
	onNode := func(name string) []controller.Key {
		found := keys(cacheutil.ByIndex[*corev1.PersistentVolumeClaim](c.claims, byNode, "", name))
		agent, _ := cacheutil.Lookup[*storagev1alpha1.LocalVolumeNode](c.agents, "", name)
		if agent == nil {
			return found
		}
		for _, d := range agent.Spec.Directories {
			if d.SetName == "" {
				namespace, claim := spec.Split(d.ID)
				found = append(found, controller.Key{Namespace: namespace, Name: claim})
			}
		}
		return found
	}
	named := func(matches func(*corev1.PersistentVolumeClaim) bool) []controller.Key {
		return keys(slices.DeleteFunc(cacheutil.List[*corev1.PersistentVolumeClaim](c.claims),
			func(claim *corev1.PersistentVolumeClaim) bool { return !matches(claim) }))
	}
	return errors.Join(
		controller.Watch(queue, c.claims, controller.Self[*corev1.PersistentVolumeClaim]),
		controller.Watch(queue, c.classes, func(class *storagev1.StorageClass) []controller.Key {
			if class.Provisioner != storagev1alpha1.Provisioner {
				return nil
			}
			return named(func(claim *corev1.PersistentVolumeClaim) bool { return spec.ClassOf(claim) == class.Name })
		}),
		controller.WatchChanges(queue, c.agents, func(old, updated *storagev1alpha1.LocalVolumeNode) []controller.Key {
			switch {
			case updated == nil:
				return onNode(old.Name)
			case old == nil || nodeChanged(old, updated):
				return onNode(updated.Name)
			}
			found := keys(cacheutil.ByIndex[*corev1.PersistentVolumeClaim](c.claims, byNode, "", updated.Name))
			for _, id := range changedDirectories(old, updated) {
				if d := observed.Requested(updated, id); d != nil && d.SetName == "" {
					namespace, claim := spec.Split(id)
					found = append(found, controller.Key{Namespace: namespace, Name: claim})
				}
			}
			return found
		}),
		controller.Watch(queue, c.nodes, func(node *corev1.Node) []controller.Key { return onNode(node.Name) }, sameNode),
		controller.Watch(queue, c.volumes, func(pv *corev1.PersistentVolume) []controller.Key {
			if pv.Annotations[storagev1alpha1.AnnotationSet] != "" || !volumes.Managed(pv) {
				return nil
			}
			namespace, claim := spec.Split(pv.Annotations[storagev1alpha1.AnnotationVolume])
			return []controller.Key{{Namespace: namespace, Name: claim}}
		}),
		controller.Watch(queue, c.pods, func(pod *corev1.Pod) []controller.Key {
			var found []controller.Key
			for _, claim := range claimsOfPod(pod) {
				found = append(found, controller.Key{Namespace: pod.Namespace, Name: claim})
			}
			return found
		}),
		controller.Watch(queue, c.wipes, func(wipe *storagev1alpha1.VolumeWipe) []controller.Key {
			return named(func(claim *corev1.PersistentVolumeClaim) bool { return claim.Namespace == wipe.Namespace })
		}),
	)
}

func (c *caches) watchForNodes(queue *controller.Controller) error {
	self := func(name string) []controller.Key { return []controller.Key{{Name: name}} }
	every := func() []controller.Key {
		var found []controller.Key
		for _, agent := range c.allAgents() {
			found = append(found, controller.Key{Name: agent.Name})
		}
		return found
	}
	return errors.Join(
		controller.Watch(queue, c.agents, controller.Self[*storagev1alpha1.LocalVolumeNode]),
		controller.Watch(queue, c.nodes, func(node *corev1.Node) []controller.Key { return self(node.Name) }, sameNode),
		controller.WatchChanges(queue, c.sets, func(old, updated *storagev1alpha1.KafkaLocalVolumeSet) []controller.Key {
			if old != nil && updated != nil && sameWork(old, updated) {
				return nil
			}
			var found []controller.Key
			for _, set := range []*storagev1alpha1.KafkaLocalVolumeSet{old, updated} {
				if set == nil {
					continue
				}
				names, _ := setsByNode(set)
				for _, name := range names {
					found = append(found, controller.Key{Name: name})
				}
			}
			return found
		}),
		controller.Watch(queue, c.sets, func(*storagev1alpha1.KafkaLocalVolumeSet) []controller.Key { return every() },
			controller.StatusOnly),
		controller.Watch(queue, c.classes, func(class *storagev1.StorageClass) []controller.Key {
			if class.Provisioner != storagev1alpha1.Provisioner {
				return nil
			}
			return every()
		}),
		controller.Watch(queue, c.wipes, func(wipe *storagev1alpha1.VolumeWipe) []controller.Key {
			return self(wipe.Status.Node)
		}),
		// A directory is wiped after its PersistentVolume was deleted.
		controller.WatchChanges(queue, c.volumes, func(old, updated *corev1.PersistentVolume) []controller.Key {
			if updated != nil || old.Annotations[storagev1alpha1.AnnotationNode] == "" {
				return nil
			}
			return self(old.Annotations[storagev1alpha1.AnnotationNode])
		}),
	)
}

func (c *caches) watchForWipes(queue *controller.Controller) error {
	named := func(matches func(*storagev1alpha1.VolumeWipe) bool) []controller.Key {
		var found []controller.Key
		for _, wipe := range cacheutil.List[*storagev1alpha1.VolumeWipe](c.wipes) {
			if matches(wipe) {
				found = append(found, controller.Key{Namespace: wipe.Namespace, Name: wipe.Name})
			}
		}
		return found
	}
	return errors.Join(
		controller.Watch(queue, c.wipes, controller.Self[*storagev1alpha1.VolumeWipe]),
		controller.Watch(queue, c.volumes, func(pv *corev1.PersistentVolume) []controller.Key {
			return named(func(w *storagev1alpha1.VolumeWipe) bool { return w.Spec.PV == pv.Name })
		}),
		controller.Watch(queue, c.agents, func(agent *storagev1alpha1.LocalVolumeNode) []controller.Key {
			return named(func(w *storagev1alpha1.VolumeWipe) bool { return w.Status.Node == agent.Name })
		}),
		controller.Watch(queue, c.pods, func(pod *corev1.Pod) []controller.Key {
			if len(pod.Spec.Volumes) == 0 {
				return nil
			}
			return named(func(w *storagev1alpha1.VolumeWipe) bool { return w.Namespace == pod.Namespace })
		}),
		controller.Watch(queue, c.claims, func(claim *corev1.PersistentVolumeClaim) []controller.Key {
			return named(func(w *storagev1alpha1.VolumeWipe) bool { return w.Namespace == claim.Namespace })
		}),
	)
}

// sameNode ignores heartbeats.
func sameNode(was, is *corev1.Node) bool {
	return was.UID == is.UID && equality.Semantic.DeepEqual(was.Labels, is.Labels) &&
		equality.Semantic.DeepEqual(was.Spec, is.Spec) && was.DeletionTimestamp.Equal(is.DeletionTimestamp)
}

// sameVolume ignores that a PersistentVolume becomes available, and changes of managed fields: no decision about a set
// depends on them.
func sameVolume(was, is *corev1.PersistentVolume) bool {
	return waiting(was) && waiting(is) && was.UID == is.UID && was.DeletionTimestamp.Equal(is.DeletionTimestamp) &&
		maps.Equal(was.Labels, is.Labels) && maps.Equal(was.Annotations, is.Annotations) &&
		equality.Semantic.DeepEqual(was.Spec, is.Spec)
}

// waiting reports whether a PersistentVolume waits for its claim, or will when the binder has seen it.
func waiting(pv *corev1.PersistentVolume) bool {
	switch pv.Status.Phase {
	case "", corev1.VolumePending, corev1.VolumeAvailable:
		return true
	}
	return false
}

// unsettled returns the sets whose volumes are not all placed without conflict.
func (c *caches) unsettled() []controller.Key {
	var found []controller.Key
	for _, set := range cacheutil.List[*storagev1alpha1.KafkaLocalVolumeSet](c.sets) {
		for _, v := range set.Status.Volumes {
			lost := v.Phase == storagev1alpha1.PhaseLost || v.Phase == storagev1alpha1.PhaseConflict
			if v.Node == "" || lost || v.Phase == storagev1alpha1.PhaseUnplaced {
				found = append(found, controller.Key{Namespace: set.Namespace, Name: set.Name})
				break
			}
		}
		if len(set.Status.Volumes) == 0 {
			found = append(found, controller.Key{Namespace: set.Namespace, Name: set.Name})
		}
	}
	return found
}

func (c *caches) everySet() []controller.Key { return keys(c.allSets()) }

func (c *caches) setsIn(namespace string) []controller.Key {
	var found []controller.Key
	for _, set := range cacheutil.List[*storagev1alpha1.KafkaLocalVolumeSet](c.sets) {
		if set.Namespace == namespace {
			found = append(found, controller.Key{Namespace: set.Namespace, Name: set.Name})
		}
	}
	return found
}

// setsWithClaim returns the sets that describe a claim.
func (c *caches) setsWithClaim(namespace, claim string) []controller.Key {
	return keys(cacheutil.ByIndex[*storagev1alpha1.KafkaLocalVolumeSet](c.sets, byClaim, namespace, claim))
}

// setsOfVolume returns the sets that describe the claim of a PersistentVolume, or that need its name.
func (c *caches) setsOfVolume(pv *corev1.PersistentVolume) []controller.Key {
	var found []controller.Key
	if ref := pv.Spec.ClaimRef; ref != nil {
		found = c.setsWithClaim(ref.Namespace, ref.Name)
	}
	if namespace, claim := spec.Split(pv.Annotations[storagev1alpha1.AnnotationVolume]); claim != "" {
		found = append(found, c.setsWithClaim(namespace, claim)...)
	}
	return append(found, keys(cacheutil.ByIndex[*storagev1alpha1.KafkaLocalVolumeSet](c.sets, byVolume, "", pv.Name))...)
}

func claimsOfSet(set *storagev1alpha1.KafkaLocalVolumeSet) []string {
	var claims []string
	for _, v := range spec.Volumes(set) {
		claims = append(claims, v.Claim)
	}
	return claims
}

func keys[T metav1.Object](objects []T) []controller.Key {
	found := make([]controller.Key, len(objects))
	for i, object := range objects {
		found[i] = controller.Key{Namespace: object.GetNamespace(), Name: object.GetName()}
	}
	return found
}
