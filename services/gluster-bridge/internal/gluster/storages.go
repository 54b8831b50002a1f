//go:build linux

package gluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Pool keeps one mount per GlusterFS volume and set of options.
type Pool struct {
	// Root is the directory of the mount points.
	Root string
	// Logs is the directory of the clients' log files.
	Logs string

	mu      sync.Mutex
	mounts  map[string]*Hosted
	ledgers ledgers
}

// Hosted is a GlusterFS volume that is mounted when it is used.
type Hosted struct {
	// Point is the mount point.
	Point string

	pool   *Pool
	volume decide.Mountable
	logs   string
	// mounting is held by the call that mounts.
	mounting chan struct{}
	// calls limits the calls that wait for an unavailable volume.
	calls chan struct{}
	// last is the ledger of the last call.
	last atomic.Pointer[Ledger]
}

// Ledger returns the ledger of the volume, or nil before the first call.
func (h *Hosted) Ledger() *Ledger { return h.last.Load() }

// maxCalls is the largest number of concurrent calls to one volume.
const maxCalls = 64

// Of returns the mount of a volume. It is shared by all calls with the same hosts, name and options.
func (p *Pool) Of(m decide.Mountable) *Hosted {
	sum := sha256.Sum256([]byte(fmt.Sprint(strings.Join(m.Hosts, "\x00"), m.Port, m.Name, m.Options)))
	key := m.Name + "-" + hex.EncodeToString(sum[:8])
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mounts == nil {
		p.mounts = map[string]*Hosted{}
	}
	if p.mounts[key] == nil {
		p.mounts[key] = &Hosted{
			Point: filepath.Join(p.Root, key), logs: filepath.Join(p.Logs, key+".log"), volume: m, pool: p,
			mounting: make(chan struct{}, 1), calls: make(chan struct{}, maxCalls),
		}
	}
	return p.mounts[key]
}

// UnmountAll unmounts all volumes. Their directories remain in use by the binds of running pods.
func (p *Pool) UnmountAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.mounts {
		_ = Unmount(h.Point)
	}
}

// Mount mounts the volume unless it is mounted.
func (h *Hosted) Mount(ctx context.Context) error {
	select {
	case h.mounting <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("mount volume %s: another call is mounting it: %w", h.volume.Name, context.Cause(ctx))
	}
	defer func() { <-h.mounting }()
	return Mount(ctx, h.volume, h.Point, h.logs)
}

// Do mounts the volume and calls f with its tree. It returns when f has returned or ctx has ended: a volume that does
// not answer blocks its own calls only. done is called when f has really returned.
func (h *Hosted) Do(ctx context.Context, f func(context.Context, *Tree) error, done func()) error {
	select {
	case h.calls <- struct{}{}:
	case <-ctx.Done():
		done()
		return fmt.Errorf("volume %s: %d calls are waiting for it: %w", h.volume.Name, maxCalls, context.Cause(ctx))
	}
	result := make(chan error, 1)
	go func() {
		defer func() { <-h.calls }()
		err := h.call(ctx, f)
		// Before the result: the caller may repeat the call at once.
		done()
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("volume %s does not answer: %w", h.volume.Name, context.Cause(ctx))
	}
}

func (h *Hosted) call(ctx context.Context, f func(context.Context, *Tree) error) error {
	if err := h.Mount(ctx); err != nil {
		return err
	}
	tree, err := OpenTree(h.Point)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	if tree.Client, err = Inspect(h.Point); err != nil {
		return err
	}
	// The UUID is that of the mounted volume, whatever its name and hosts are. Old clusters do not tell it.
	tree.Ledger = h.pool.ledger(cmp.Or(tree.Client.Graph.ID, strings.Join(tree.Client.Graph.Bricks, " ")))
	h.last.Store(tree.Ledger)
	return f(ctx, tree)
}

// Status is what a probe of a volume has found.
type Status struct {
	Client
	CapacityBytes, FreeBytes, ProvisionedBytes int64
	Volumes                                    int
	// Offline are the bricks to which the client is not connected.
	Offline []string
	// Damaged is the number of metadata files that cannot be used, DamagedError one of the errors.
	Damaged      int
	DamagedError error
	// Err is why the volume cannot be used.
	Err error
}

// Probe mounts the volume and describes it. If reload is true, it reads the metadata of all volumes again; otherwise
// only the first call reads it.
func (h *Hosted) Probe(ctx context.Context, timeout time.Duration, native, reload bool) Status {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found := make(chan Status, 1)
	err := h.Do(ctx, func(ctx context.Context, t *Tree) error {
		s := Status{Client: t.Client}
		var err error
		if s.CapacityBytes, s.FreeBytes, err = t.Size(); err != nil {
			return err
		}
		if s.Offline, err = t.Offline(); err != nil {
			return err
		}
		if !native {
			info, taken, err := t.Owner()
			if taken {
				s.Volumes, s.ProvisionedBytes = 1, info.Size
			}
			found <- s
			return err
		}
		if err := t.Ledger.Load(ctx, t, reload); err != nil {
			return err
		}
		s.Volumes, s.ProvisionedBytes, s.Damaged, s.DamagedError = t.Ledger.Totals()
		found <- s
		return nil
	}, func() {})
	if err != nil {
		return Status{Err: err}
	}
	return <-found
}
