//go:build linux

package gluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Recovery keeps the volumes of a node usable after their clients have ended: it mounts them again, and replaces the
// mounts that pods have, also in their containers.
type Recovery struct {
	Pool *Pool
	// Interval is the time between two probes of each client, Timeout limits a probe and a mount.
	Interval, Timeout time.Duration
	// Unused is the time after which a client without mounts is ended.
	Unused  time.Duration
	Log     *slog.Logger
	Metrics *RecoveryMetrics
	// Record records an event about the node.
	Record func(event.Event)

	mu      sync.Mutex
	clients map[string]*clientState
}

// clientState is what Recovery knows of one client. One goroutine at a time uses it, except running.
type clientState struct {
	running atomic.Bool
	// down is true from the detection of a failure until the volume is mounted again.
	down bool
	// since is the time of the last failure whose mounts are not all replaced, or zero.
	since time.Time
	// clean is the number of scans in a row that found no mount of an ended client.
	clean int
	// replaced is the number of mounts since the failure.
	replaced int
	// last is the last error that was logged.
	last string
	// next is when mounts that could not be replaced are tried again.
	next time.Time
	// compared is true if the record has the client that is mounted.
	compared bool
	// below are the mounts below those of the volume in each mount namespace, remembered is when they were read.
	below      map[uint64][]decide.Mount
	remembered time.Time
	// used is when the client was last seen to have mounts, searched when they were last looked for.
	used, searched time.Time
	// unavailable is true from the first error of the volume until it can be used.
	unavailable bool
}

const (
	// maxScans is the number of scans in a row while each finds mounts to replace.
	maxScans = 5
	// retryInterval is the time between attempts to replace mounts that cannot be replaced now.
	retryInterval = 10 * time.Second
	// rememberProbes is the number of probes after which the mounts below those of a volume are read again.
	rememberProbes = 5
	// cleanScans is the number of scans without a finding after which a client is forgotten. A container that starts may
	// copy a mount during the first one.
	cleanScans = 3
)

// Run probes the clients until ctx ends. Each volume has its own goroutine: one that does not answer delays no other.
// At the end it ends the clients without mounts: nothing else would end them after an uninstallation.
func (r *Recovery) Run(ctx context.Context) error {
	r.clients = map[string]*clientState{}
	warnIfIsolated(r.Log)
	ticker := time.NewTicker(r.Interval)
	defer ticker.Stop()
	for {
		for _, h := range r.Pool.all() {
			s := r.stateOf(h)
			if s.running.CompareAndSwap(false, true) {
				// Run does not wait for it: a system call on a volume that does not answer has no end.
				go func() {
					defer s.running.Store(false)
					r.check(ctx, h, s)
				}()
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			r.endAll()
			return nil
		}
	}
}

func (r *Recovery) stateOf(h *Hosted) *clientState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[h.Key] == nil {
		r.clients[h.Key] = &clientState{used: time.Now(), below: map[uint64][]decide.Mount{}}
	}
	return r.clients[h.Key]
}

// check probes one client, and recovers its mounts if it has ended.
func (r *Recovery) check(ctx context.Context, h *Hosted, s *clientState) {
	current, ended := h.recorder.current(), h.recorder.ended()
	if current.Device == "" && len(ended) == 0 {
		r.checkUnmounted(h, s)
		return
	}
	process := ctx
	ctx, cancel := context.WithTimeout(process, r.Timeout)
	defer cancel()
	begun := time.Now()
	state, err := stateOf(ctx, h.Point)
	if process.Err() != nil {
		return
	}
	if ctx.Err() != nil && err != nil {
		// It may answer again. Its mounts wait for it, and files that are open stay valid.
		r.unavailable(s, h, "the client does not answer", err)
		return
	}
	if state != mounted {
		r.Metrics.up.WithLabelValues(h.Key).Set(0)
		if !s.down {
			r.remember(h, s, true)
		}
		err := h.Mount(ctx)
		if process.Err() != nil {
			return
		}
		if !errors.Is(err, errBricks) && !s.down {
			s.down = true
			r.failed(h, s, begun)
		}
		if err != nil {
			r.unavailable(s, h, "the volume cannot be used", err)
			return
		}
	} else if !s.compared {
		// The client may have been mounted again while no node process was running.
		if err := h.recorder.noteMounted(h.Point); err != nil {
			r.logOnce(s, h, "the client cannot be recorded", err)
			return
		}
	}
	s.compared, s.down = true, false
	r.available(s, h)
	if ended = h.recorder.ended(); len(ended) > 0 {
		if s.since.IsZero() {
			// An earlier process has detected the failure.
			r.failed(h, s, begun)
		}
		if !time.Now().Before(s.next) {
			r.restore(ctx, h, s, ended)
		}
		return
	}
	s.since = time.Time{}
	if time.Since(s.remembered) >= rememberProbes*r.Interval {
		r.remember(h, s, false)
	}
	if err := r.endUnused(ctx, h, s); err != nil {
		r.logOnce(s, h, "a client without mounts cannot be ended", err)
	}
}

func (r *Recovery) failed(h *Hosted, s *clientState, at time.Time) {
	s.since, s.clean, s.replaced, s.last, s.next = at, 0, 0, "", time.Time{}
	r.Metrics.failures.WithLabelValues(h.Key).Inc()
	r.Log.Warn("the client has ended", "client", h.Key)
	r.record(h, event.Warning(storagev1alpha1.EventClientFailed, "Recover", fmt.Sprintf(
		"The GlusterFS client of volume %s has ended. The volume is being mounted again, and the mounts of pods will be "+
			"replaced. Files that were open have to be opened again", h.volume.Name)))
}

// restore replaces the mounts of ended clients.
func (r *Recovery) restore(ctx context.Context, h *Hosted, s *clientState, ended []deviceJSON) {
	var problems []string
	for range maxScans {
		replaced, failed, err := r.replaceAll(h, s)
		if err != nil {
			failed = append(failed, err.Error())
		}
		problems = failed
		s.replaced += replaced
		r.Metrics.recovered.WithLabelValues(h.Key).Add(float64(replaced))
		if replaced == 0 || ctx.Err() != nil {
			break
		}
		s.clean = min(s.clean, 1)
		r.remember(h, s, true)
	}
	r.Metrics.broken.WithLabelValues(h.Key).Set(float64(len(problems)))
	if len(problems) > 0 {
		slices.Sort(problems)
		text := strings.Join(slices.Compact(problems), "; ")
		if r.logOnce(s, h, "mounts could not be replaced", errors.New(text)) {
			r.record(h, event.Warning(storagev1alpha1.EventMountsNotRecovered, "Recover", fmt.Sprintf(
				"%d mounts of volume %s could not be replaced; restart their pods: %s", len(problems), h.volume.Name, text)))
		}
		s.next, s.clean = time.Now().Add(retryInterval), 0
		return
	}
	if s.clean == 0 {
		took := time.Since(s.since)
		r.Metrics.seconds.Observe(took.Seconds())
		r.Log.Info("the mounts of the ended client are replaced", "client", h.Key, "mounts", s.replaced,
			"duration", took.Round(time.Millisecond).String())
		r.record(h, event.Normal(storagev1alpha1.EventMountsRecovered, "Recover", fmt.Sprintf(
			"Volume %s is mounted again; %d mounts of pods were replaced in %s", h.volume.Name, s.replaced,
			took.Round(time.Millisecond))))
	}
	if s.clean++; s.clean < cleanScans {
		return
	}
	if err := h.recorder.forget(ended); err != nil {
		r.logOnce(s, h, "the record cannot be written", err)
		return
	}
	s.since, s.last = time.Time{}, ""
}

// logOnce logs an error when it differs from the last one, and reports whether it does.
func (r *Recovery) logOnce(s *clientState, h *Hosted, message string, err error) bool {
	text := message + ": " + err.Error()
	if text == s.last {
		return false
	}
	s.last = text
	r.Log.Error(message, "client", h.Key, "error", err)
	return true
}
