//go:build linux

package gluster

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/pkg/node"
)

// attempt is a failed attempt to mount a volume.
type attempt struct {
	at  time.Time
	err error
}

// attemptTimeout is how long a failed mount counts. kubelet repeats its calls at least every two minutes while a pod
// needs the volume.
const attemptTimeout = 5 * time.Minute

// checkUnmounted reports a volume that pods need and that could not be mounted.
func (r *Recovery) checkUnmounted(h *Hosted, s *clientState) {
	if last := h.failed.Load(); last != nil && time.Since(last.at) < attemptTimeout {
		r.unavailable(s, h, "the volume cannot be mounted", last.err)
	} else if s.unavailable {
		// No pod needs it any more.
		s.unavailable, s.last = false, ""
		r.Metrics.forget(h.Key)
	}
}

// unavailable reports that a volume cannot be used. It records one event until the volume can be used again.
func (r *Recovery) unavailable(s *clientState, h *Hosted, message string, err error) {
	r.Metrics.up.WithLabelValues(h.Key).Set(0)
	r.logOnce(s, h, message, err)
	if s.unavailable {
		return
	}
	s.unavailable = true
	r.record(h, event.Warning(storagev1alpha1.EventVolumeUnavailable, "Mount", fmt.Sprintf(
		"Pods on this node cannot use volume %s: %s: %v", h.volume.Name, message, err)))
}

// available reports that a volume can be used.
func (r *Recovery) available(s *clientState, h *Hosted) {
	r.Metrics.up.WithLabelValues(h.Key).Set(1)
	if !s.unavailable {
		return
	}
	s.unavailable, s.last = false, ""
	r.Log.Info("the volume can be used again", "client", h.Key)
	r.record(h, event.Normal(storagev1alpha1.EventVolumeAvailable, "Mount",
		fmt.Sprintf("Pods on this node can use volume %s", h.volume.Name)))
}

// record records an event about the node. Events of different volumes are different events.
func (r *Recovery) record(h *Hosted, e event.Event) {
	e.Related = &corev1.ObjectReference{Kind: "GlusterFSClient", Name: h.Key}
	r.Record(e)
}

// endUnused ends a client without mounts of pods.
func (r *Recovery) endUnused(ctx context.Context, h *Hosted, s *clientState) error {
	now := time.Now()
	if now.Sub(s.searched) < r.Unused/10 {
		return nil
	}
	s.searched = now
	mounts, err := node.Mounts()
	if err != nil {
		return err
	}
	if h.usedBy(mounts) {
		s.used = now
	}
	if now.Sub(s.used) < r.Unused {
		return nil
	}
	done, err := h.end(func() error { return h.pool.clients().Unmount(ctx, h.volume) })
	if done {
		s.used = now
		r.Metrics.forget(h.Key)
		r.Log.Info("the volume has no mounts; its client is ended", "client", h.Key)
	}
	return err
}

// usedBy reports whether a mount table has other mounts of the volume's client, or of one that has ended. A container
// of the driver can see the mount point at a second path.
func (h *Hosted) usedBy(mounts []node.Mount) bool {
	devices := h.devices()
	return slices.ContainsFunc(mounts, func(m node.Mount) bool {
		return filepath.Base(m.Point) != h.Key && slices.Contains(devices, m.Device)
	})
}

// devices are those of the volume's client and of clients that have ended.
func (h *Hosted) devices() []string {
	devices := []string{h.recorder.current().Device}
	for _, ended := range h.recorder.ended() {
		devices = append(devices, ended.Device)
	}
	return devices
}

// endAll ends the clients without mounts. It asks no other process: that of the clients may end at the same time.
func (r *Recovery) endAll() {
	mounts, err := node.Mounts()
	if err != nil {
		r.Log.Error("the mounts of the node cannot be read", "error", err)
		return
	}
	for _, h := range r.Pool.all() {
		if h.recorder.current().Device == "" || h.usedBy(mounts) {
			continue
		}
		if done, err := h.end(func() error { return Unmount(h.Point) }); err != nil {
			r.Log.Error("a client without mounts cannot be ended", "client", h.Key, "error", err)
		} else if done {
			r.Log.Info("the volume has no mounts; its client is ended", "client", h.Key)
		}
	}
}
