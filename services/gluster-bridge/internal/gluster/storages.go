//go:build linux

package gluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Pool keeps one mount per GlusterFS volume and set of options.
type Pool struct {
	// Root is the directory of the mount points.
	Root string
	// Logs is the directory of the log files of clients that this process runs.
	Logs string
	// Clients runs the clients; the default is Local.
	Clients Clients
	// Records is true on nodes: records of the mounts are written to Root, see LoadRecords.
	Records bool

	mu      sync.Mutex
	boot    string
	local   *Local
	bricks  brickClients
	mounts  map[string]*Hosted
	ledgers ledgers
}

// Hosted is a GlusterFS volume that is mounted when it is used.
type Hosted struct {
	// Key names the mount, see Key.
	Key string
	// Point is the mount point.
	Point string

	pool   *Pool
	volume decide.Mountable
	// recorder is nil if the pool has no records.
	recorder *recorder
	// mounting is held by the call that mounts.
	mounting chan struct{}
	// calls limits the calls that wait for an unavailable volume.
	calls chan struct{}
	// last is the ledger of the last call.
	last atomic.Pointer[Ledger]
	// failed is the last attempt to mount it, if it failed.
	failed atomic.Pointer[attempt]
	// inspected is what the last call of Inspect has found on the mounted client, or nil.
	inspected atomic.Pointer[inspection]
}

// inspection is a client at a time.
type inspection struct {
	Client
	at time.Time
}

// inspectInterval is how long an inspection is used. Each one costs as much as the creation of a directory, and an
// administrator changes a volume rarely.
const inspectInterval = time.Second

// Ledger returns the ledger of the volume, or nil before the first call.
func (h *Hosted) Ledger() *Ledger { return h.last.Load() }

// maxCalls is the largest number of concurrent calls to one volume.
const maxCalls = 64

// Of returns the mount of a volume. It is shared by all calls with the same hosts, name and options.
func (p *Pool) Of(m decide.Mountable) *Hosted {
	key := Key(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mounts == nil {
		p.mounts = map[string]*Hosted{}
	}
	if p.mounts[key] == nil {
		h := &Hosted{
			Key: key, Point: filepath.Join(p.Root, key), volume: m, pool: p,
			mounting: make(chan struct{}, 1), calls: make(chan struct{}, maxCalls),
		}
		if p.Records {
			h.recorder = &recorder{root: p.Root, key: key, record: record{Volume: toJSON(m), Boot: p.boot}}
		}
		p.mounts[key] = h
	}
	return p.mounts[key]
}

// all returns the volumes that were used, in the order of their keys.
func (p *Pool) all() []*Hosted {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Collect(maps.Values(p.mounts))
	slices.SortFunc(all, func(a, b *Hosted) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

func (p *Pool) clients() Clients {
	if p.Clients != nil {
		return p.Clients
	}
	return p.localClients()
}

func (p *Pool) localClients() *Local {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.local == nil {
		p.local = &Local{Root: p.Root, Logs: p.Logs}
	}
	return p.local
}

// UnmountAll unmounts all volumes. Their directories remain in use by the binds of running pods.
func (p *Pool) UnmountAll() {
	p.bricks.unmountAll()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.mounts {
		_ = Unmount(h.Point)
	}
}

// errBricks means that a client runs and serves nothing.
var errBricks = errors.New("its bricks are not reachable, or have no quorum; check gluster volume status")

// Mount mounts the volume unless it is mounted.
func (h *Hosted) Mount(ctx context.Context) error {
	select {
	case h.mounting <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("mount volume %s: another call is mounting it: %w", h.volume.Name, context.Cause(ctx))
	}
	defer func() { <-h.mounting }()
	err := h.mount(ctx)
	if err != nil {
		h.failed.Store(&attempt{time.Now(), err})
	} else {
		h.failed.Store(nil)
	}
	return err
}

// mount is Mount for the call that has its place.
func (h *Hosted) mount(ctx context.Context) error {
	state, err := stateOf(ctx, h.Point)
	if err != nil {
		return err
	}
	if state == broken {
		// Files that are open stay valid if the client connects to its bricks again.
		if running, err := h.pool.clients().Running(ctx, h.volume); err != nil {
			return err
		} else if running {
			return fmt.Errorf("volume %s: %w", h.volume.Name, errBricks)
		}
	}
	if state != mounted {
		h.inspected.Store(nil)
		if h.recorder != nil {
			if err := h.recorder.noteEnded(h.Point); err != nil {
				return err
			}
		}
		if err := h.pool.clients().Mount(ctx, h.volume); err != nil {
			return err
		}
	}
	if h.recorder != nil && (state != mounted || h.recorder.current().Device == "") {
		return h.recorder.noteMounted(h.Point)
	}
	return nil
}

// end unmounts the volume and removes its record, unless a call uses it. A call that comes later mounts it again.
func (h *Hosted) end(unmount func() error) (done bool, err error) {
	select {
	case h.mounting <- struct{}{}:
	default:
		return false, nil
	}
	defer func() { <-h.mounting }()
	// A call takes its place before it mounts.
	if len(h.calls) > 0 {
		return false, nil
	}
	if err := unmount(); err != nil {
		return false, err
	}
	return true, h.recorder.remove()
}

// Serves reports whether a mount is one of the client that is mounted now.
func (h *Hosted) Serves(m node.Mount) (bool, error) {
	mount, err := topMount(h.Point)
	return err == nil && mount != nil && mount.Device == m.Device, err
}

// Do mounts the volume and calls f with its tree. It returns when f has returned, or soon after ctx has ended: a volume
// that does not answer blocks its own calls only. done is called when f has really returned.
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
	}
	// A mount, or a brick, that ctx has interrupted has a better error.
	const grace = 500 * time.Millisecond
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-timer.C:
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
	if tree.Client, err = h.inspect(); err != nil {
		return err
	}
	// The UUID is that of the mounted volume, whatever its name and hosts are. Old clusters do not tell it.
	tree.Ledger = h.pool.ledger(cmp.Or(tree.Client.Graph.ID, strings.Join(tree.Client.Graph.Bricks, " ")))
	h.last.Store(tree.Ledger)
	tree.brick = func(ctx context.Context, index int, directory string, limit decide.Limit) (bool, error) {
		return h.pool.brickShows(ctx, h, tree.Client.Graph, index, directory, limit)
	}
	return f(ctx, tree)
}

// inspect is Inspect, at most once in inspectInterval.
func (h *Hosted) inspect() (Client, error) {
	if last := h.inspected.Load(); last != nil && time.Since(last.at) < inspectInterval {
		return last.Client, nil
	}
	at := time.Now()
	client, err := Inspect(h.Point)
	if err == nil {
		h.inspected.Store(&inspection{client, at})
	}
	return client, err
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
