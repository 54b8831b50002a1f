//go:build linux

package reconcile

import (
	"slices"

	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// Source knows the sizes of directories.
type Source interface {
	// Manages reports whether quotad limits the directories of a volume.
	Manages(v decide.Volume) bool
	// Walk calls found with the directories of a volume, some at a time. A directory can be found several times.
	Walk(v decide.Volume, bricks []*brick.Brick, found func(paths []string) error) error
	// Target returns the limit of a directory. found is false if it has none.
	Target(v decide.Volume, b *brick.Brick, path string) (t decide.Target, found bool)
}

// Bricks is the source of a standalone quotad: the descriptions of directories on the bricks.
type Bricks struct{}

// Manages reports whether the volume is marked as managed.
func (Bricks) Manages(v decide.Volume) bool { return v.Managed }

// Walk reads the names of all descriptions.
func (Bricks) Walk(_ decide.Volume, bricks []*brick.Brick, found func([]string) error) error {
	for _, b := range bricks {
		if b == nil {
			continue
		}
		if err := b.Walk(found); err != nil {
			return err
		}
	}
	return nil
}

// Target reads a description. Without a brick, no size is known.
func (Bricks) Target(v decide.Volume, b *brick.Brick, path string) (decide.Target, bool) {
	if b == nil {
		return decide.Target{}, false
	}
	return b.Target(v, path)
}

// byVolume is the index of GlusterVolumes by the name of the volume and the path.
const byVolume, byDirectory = "volume", "directory"

// Objects is the source of a quotad in cluster mode: GlusterVolumes.
type Objects struct{ informer cache.SharedIndexInformer }

// NewObjects returns the source of an informer that has not started.
func NewObjects(informer cache.SharedIndexInformer) (*Objects, error) {
	err := cacheutil.SetTransform(informer, "glustervolumes", cacheutil.DropManagedFields, cacheutil.KeepAnnotations(),
		cacheutil.ForType(trim()))
	if err != nil {
		return nil, err
	}
	err = cacheutil.AddIndexers(informer, "glustervolumes", cache.Indexers{
		byVolume: cacheutil.Index(func(o *storagev1alpha1.GlusterVolume) string { return o.Spec.Volume }),
		byDirectory: cacheutil.Index(func(o *storagev1alpha1.GlusterVolume) string {
			return o.Spec.Volume + "/" + o.Spec.Path
		}),
	})
	return &Objects{informer}, err
}

// trim returns a transform that removes what quotad does not read, and lets objects share the strings that many of them
// have: a cache may have very many objects.
func trim() func(*storagev1alpha1.GlusterVolume) {
	var shared cacheutil.Strings
	return func(o *storagev1alpha1.GlusterVolume) {
		o.Labels, o.Finalizers, o.OwnerReferences, o.Status.Conditions = nil, nil, nil, nil
		cacheutil.Share(&shared, &o.Spec.Storage, &o.Spec.Volume, &o.Spec.VolumeID)
		for i := range o.Status.Bricks {
			b := &o.Status.Bricks[i]
			cacheutil.Share(&shared, &b.Node, &b.Brick, &b.NodeName, &b.Host)
			cacheutil.Share(&shared, &b.State)
		}
	}
}

// Manages reports whether there are GlusterVolumes of the volume.
func (o *Objects) Manages(v decide.Volume) bool {
	return slices.ContainsFunc(cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](o.informer, byVolume, "", v.Name),
		func(object *storagev1alpha1.GlusterVolume) bool { return isOf(object, v) })
}

// Walk lists the directories of the GlusterVolumes.
func (o *Objects) Walk(v decide.Volume, _ []*brick.Brick, found func([]string) error) error {
	var paths []string
	for _, object := range cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](o.informer, byVolume, "", v.Name) {
		if isOf(object, v) {
			paths = append(paths, object.Spec.Path)
		}
	}
	slices.Sort(paths)
	return found(paths)
}

// Target returns the limit that a GlusterVolume requests. If two request the limit of one directory, the older one
// counts.
func (o *Objects) Target(v decide.Volume, _ *brick.Brick, path string) (decide.Target, bool) {
	object := o.of(v, path)
	if object == nil {
		return decide.Target{}, false
	}
	return decide.Target{
		Path: path, Bytes: object.Spec.CapacityBytes,
		Project: uint32(object.Spec.ProjectID), //nolint:gosec // validated by the CustomResourceDefinition
		Name:    object.Name, Generation: object.Generation,
	}, true
}

func (o *Objects) of(v decide.Volume, path string) *storagev1alpha1.GlusterVolume {
	var oldest *storagev1alpha1.GlusterVolume
	for _, object := range cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](
		o.informer, byDirectory, "", v.Name+"/"+path) {
		if isOf(object, v) && (oldest == nil || isOlder(object, oldest)) {
			oldest = object
		}
	}
	return oldest
}

func isOlder(a, b *storagev1alpha1.GlusterVolume) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return a.CreationTimestamp.Before(&b.CreationTimestamp)
}

// isOf reports whether a GlusterVolume is a directory of a volume. Clusters may have volumes of the same name.
func isOf(object *storagev1alpha1.GlusterVolume, v decide.Volume) bool {
	return object.Spec.Volume == v.Name && (object.Spec.VolumeID == "" || object.Spec.VolumeID == v.ID)
}

// Keys returns the keys of a GlusterVolume for the volumes of this node.
func (r *Reconciler) Keys(object *storagev1alpha1.GlusterVolume) []controller.Key {
	var keys []controller.Key
	for _, v := range r.volumes() {
		if isOf(object, v) {
			keys = append(keys, controller.Key{Namespace: v.ID, Name: object.Spec.Path})
		}
	}
	return keys
}
