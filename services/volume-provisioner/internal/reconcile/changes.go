package reconcile

import (
	"k8s.io/apimachinery/pkg/api/equality"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// setsAfterSet returns the sets that a change of another set can settle. A new set takes claims and space, and settles
// none.
func (c *caches) setsAfterSet(old, updated *storagev1alpha1.KafkaLocalVolumeSet) []controller.Key {
	if old == nil || updated != nil && controller.StatusOnly(old, updated) {
		return nil
	}
	return c.unsettled()
}

// setsAfterAgent returns the sets that depend on what has changed in a LocalVolumeNode: all sets on the node and those
// that wait for one, or only those of the changed directories. A node has many directories, and its agent reports them
// one after the other.
func (c *caches) setsAfterAgent(old, updated *storagev1alpha1.LocalVolumeNode) []controller.Key {
	switch {
	case updated == nil:
		return c.setsOnNode(old.Name)
	case old == nil || nodeChanged(old, updated):
		return c.setsOnNode(updated.Name)
	}
	var found []controller.Key
	for _, id := range changedReports(old, updated) {
		found = append(found, c.setsWithClaim(spec.Split(id))...)
	}
	if !equality.Semantic.DeepEqual(old.Status.Found, updated.Status.Found) {
		found = append(found, c.unsettled()...)
	}
	return found
}

// setsOnNode returns the sets that have volumes on a node, and those that wait for a node.
func (c *caches) setsOnNode(name string) []controller.Key {
	found := keys(cacheutil.ByIndex[*storagev1alpha1.KafkaLocalVolumeSet](c.sets, byNode, "", name))
	return append(found, c.unsettled()...)
}

// nodeChanged reports whether more than single directories have changed.
func nodeChanged(old, updated *storagev1alpha1.LocalVolumeNode) bool {
	return old.UID != updated.UID || !old.DeletionTimestamp.Equal(updated.DeletionTimestamp) ||
		old.Status.NodeUID != updated.Status.NodeUID || old.Status.MachineID != updated.Status.MachineID ||
		!equality.Semantic.DeepEqual(old.Status.FileSystems, updated.Status.FileSystems) ||
		!equality.Semantic.DeepEqual(old.Status.Wipes, updated.Status.Wipes) || removesWork(old, updated)
}

// removesWork reports whether the directory of a volume was removed from the spec, so that another one can use it.
func removesWork(old, updated *storagev1alpha1.LocalVolumeNode) bool {
	kept := map[string]bool{}
	for i := range updated.Spec.Directories {
		kept[updated.Spec.Directories[i].ID] = true
	}
	for i := range old.Spec.Directories {
		if !kept[old.Spec.Directories[i].ID] {
			return true
		}
	}
	return false
}

// changedDirectories returns the ids of the directories whose spec or report has changed.
func changedDirectories(old, updated *storagev1alpha1.LocalVolumeNode) []string {
	return append(changedReports(old, updated), changed(old.Spec.Directories, updated.Spec.Directories,
		func(d *storagev1alpha1.DirectorySpec) string { return d.ID },
		func(a, b *storagev1alpha1.DirectorySpec) bool { return *a == *b })...)
}

// changedReports returns the ids of the directories that the agent reports differently. The used bytes do not count.
func changedReports(old, updated *storagev1alpha1.LocalVolumeNode) []string {
	return changed(old.Status.Directories, updated.Status.Directories,
		func(d *storagev1alpha1.DirectoryStatus) string { return d.ID },
		func(a, b *storagev1alpha1.DirectoryStatus) bool {
			return a.State == b.State && a.Message == b.Message && a.FileSystem == b.FileSystem &&
				a.LimitBytes == b.LimitBytes && equality.Semantic.DeepEqual(a.Marker, b.Marker)
		})
}

// changed returns the ids of the entries that were added or removed, or are not the same.
func changed[T any](old, updated []T, id func(*T) string, same func(a, b *T) bool) []string {
	before := make(map[string]*T, len(old))
	for i := range old {
		before[id(&old[i])] = &old[i]
	}
	var found []string
	for i := range updated {
		name := id(&updated[i])
		if known := before[name]; known == nil || !same(known, &updated[i]) {
			found = append(found, name)
		}
		delete(before, name)
	}
	for name := range before {
		found = append(found, name)
	}
	return found
}

// sameWork reports whether two versions of a set ask the same of the agents. Changes of the spec are another watch.
func sameWork(old, updated *storagev1alpha1.KafkaLocalVolumeSet) bool {
	a, b := old.Status.Volumes, updated.Status.Volumes
	if old.UID != updated.UID || len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Claim != b[i].Claim || a[i].Ordinal != b[i].Ordinal || a[i].Node != b[i].Node ||
			a[i].Bytes != b[i].Bytes || a[i].Marker != b[i].Marker {
			return false
		}
	}
	return true
}
