//go:build linux

package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageac "github.com/weir-dev/weir/generated/applyconfiguration/storage/v1alpha1"
	storageclient "github.com/weir-dev/weir/generated/clientset/versioned/typed/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// Statuses writes the entries of this node in the status of GlusterVolumes.
type Statuses struct {
	Client storageclient.GlusterVolumeInterface
	Source *Objects
	// NodeName is the Kubernetes node of the pod. It is empty outside of a cluster.
	NodeName string
}

// managerOf returns the field manager of the quotad of a Gluster node.
func managerOf(nodeID string) string { return decide.Manager + "-" + nodeID }

// Report writes the entries of a directory's bricks if they have changed. The use is written when it has changed by
// more than a hundredth of the limit, and only by the regular check.
func (s *Statuses) Report(ctx context.Context, nodeID string, results []BrickResult, full bool) error {
	target := results[0].Target
	object, found := cacheutil.Lookup[*storagev1alpha1.GlusterVolume](s.Source.informer, "", target.Name)
	// A change of the object that was made meanwhile is reported by its own reconcile.
	if !found || object.DeletionTimestamp != nil || object.Generation != target.Generation {
		return nil
	}
	manager := managerOf(nodeID)
	var entries []storagev1alpha1.BrickStatus
	for _, r := range results {
		entries = append(entries, storagev1alpha1.BrickStatus{
			Node: nodeID, Brick: r.Brick.Path, Host: r.Brick.Host, NodeName: s.NodeName,
			State: r.State, Message: r.Message,
			LimitBytes: r.LimitBytes, UsedBytes: r.UsedBytes, ObservedGeneration: target.Generation,
		})
	}
	slices.SortFunc(entries, func(a, b storagev1alpha1.BrickStatus) int { return strings.Compare(a.Brick, b.Brick) })
	if isReported(object, nodeID, entries, full) {
		return nil
	}
	status, err := apply.Convert[storageac.GlusterVolumeStatusApplyConfiguration](
		storagev1alpha1.GlusterVolumeStatus{Bricks: entries})
	if err != nil {
		return err
	}
	want := storageac.GlusterVolume(object.Name).WithUID(object.UID).WithStatus(status)
	if _, err := apply.Status(ctx, s.Client, manager, want); apply.IgnoreGone(err) != nil {
		return fmt.Errorf("apply the status of GlusterVolume %s: %w", object.Name, err)
	}
	return nil
}

// isReported reports whether the status has the entries. It keeps the reported use if it is close enough.
func isReported(
	object *storagev1alpha1.GlusterVolume, nodeID string, entries []storagev1alpha1.BrickStatus, full bool,
) bool {
	present := map[string]storagev1alpha1.BrickStatus{}
	for _, b := range object.Status.Bricks {
		if b.Node == nodeID {
			present[b.Brick] = b
		}
	}
	if len(present) != len(entries) {
		return false
	}
	for _, want := range entries {
		have, found := present[want.Brick]
		if !found {
			return false
		}
		difference := max(want.UsedBytes-have.UsedBytes, have.UsedBytes-want.UsedBytes)
		if !full || difference <= want.LimitBytes/100 {
			have.UsedBytes = want.UsedBytes
		}
		if have != want {
			return false
		}
	}
	return true
}
