//go:build linux

package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/timer"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// settle is the time after a change of mounts in which more are expected: each pod that starts or ends causes many.
const settle = 100 * time.Millisecond

// WatchMounts calls MountsChanged after changes of mounts, until ctx ends.
func (r *Reconciler) WatchMounts(ctx context.Context) error {
	return node.WatchMounts(ctx, func() {
		if timer.Sleep(ctx, settle) {
			r.MountsChanged()
		}
	})
}

// MountsChanged enqueues the managed volumes that have a brick whose mount has changed. Mounts of pods change often,
// and a check of all directories is expensive.
func (r *Reconciler) MountsChanged() {
	for _, v := range r.volumes() {
		if r.manages(v) && r.changedMounts(v) {
			r.Enqueue(controller.Key{Namespace: v.ID})
		}
	}
}

// changedMounts records the mounts of the bricks of a volume, and reports whether one has changed.
func (r *Reconciler) changedMounts(v decide.Volume) bool {
	mounts, err := node.Mounts()
	if err != nil {
		r.Log.Warn("the mounts of the bricks cannot be read", "volume", v.Name, "error", err)
		return true
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.mounts == nil {
		r.mounts = map[string]string{}
	}
	changed := false
	for _, b := range v.Local {
		id, now := v.ID+" "+b.Path, mountOf(mounts, b.Path)
		changed = changed || r.mounts[id] != now
		r.mounts[id] = now
	}
	if changed && r.Remounted != nil {
		r.Remounted()
	}
	return changed
}

// mountOf describes the mount that a path is on.
func mountOf(mounts []node.Mount, path string) string {
	var on node.Mount
	for _, m := range mounts {
		isAbove := m.Point == "/" || path == m.Point || strings.HasPrefix(path, m.Point+"/")
		// A later mount at the same directory covers an earlier one.
		if isAbove && len(m.Point) >= len(on.Point) {
			on = m
		}
	}
	return fmt.Sprint(on.ID, on.Device, on.Root, on.Options, on.SuperOptions)
}
