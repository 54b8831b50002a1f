//go:build linux

package gluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Ledger has the metadata of all volumes and snapshots of a GlusterFS volume, so that a new one needs no walk over all
// files. A size and a project id are reserved here before anything is written: concurrent calls cannot overcommit the
// volume or get the same id.
type Ledger struct {
	pool *Pool

	// The fields below are guarded by pool.ledgers.mu.
	loaded bool
	// loads is the number of complete reads of all metadata; loading is the running one, or nil.
	loads   int
	loading *load
	entries map[string]decide.Info
	// snapshots are the snapshots by directory.
	snapshots map[string]decide.SnapshotInfo
	damaged   map[string]error
	// busy are the directories that a call changes.
	busy map[string]lock
	// touched are the directories that changed since the last load began.
	touched map[string]bool
	sum     int64
}

// ledgers are the ledgers of a pool by the identity of the GlusterFS volume: two storages can have one volume.
type ledgers struct {
	mu       sync.Mutex
	all      map[string]*Ledger
	projects map[int64]int
}

func (p *Pool) ledger(identity string) *Ledger {
	p.ledgers.mu.Lock()
	defer p.ledgers.mu.Unlock()
	if p.ledgers.all == nil {
		p.ledgers.all, p.ledgers.projects = map[string]*Ledger{}, map[int64]int{}
	}
	l := p.ledgers.all[identity]
	if l == nil {
		l = &Ledger{
			pool: p, entries: map[string]decide.Info{}, snapshots: map[string]decide.SnapshotInfo{},
			damaged: map[string]error{}, busy: map[string]lock{}, touched: map[string]bool{},
		}
		p.ledgers.all[identity] = l
	}
	return l
}

// Load waits until all metadata has been read once. The read continues if ctx ends first, so that a later call succeeds
// however many volumes there are. If again is true, another read begins, and Load does not wait for it.
func (l *Ledger) Load(ctx context.Context, t *Tree, again bool) error {
	l.pool.ledgers.mu.Lock()
	running, loaded := l.loading, l.loaded
	if running == nil && (!loaded || again) {
		running = &load{done: make(chan struct{})}
		l.loading = running
		clear(l.touched)
		go l.read(context.WithoutCancel(ctx), t.Point, running)
	}
	l.pool.ledgers.mu.Unlock()
	if loaded {
		return nil
	}
	select {
	case <-running.done:
		return running.err
	case <-ctx.Done():
		return fmt.Errorf("the metadata of all volumes is still being read; try again: %w", context.Cause(ctx))
	}
}

type load struct {
	done chan struct{}
	err  error
}

// read reads all metadata. Volumes that calls change in the meantime keep what these calls wrote.
func (l *Ledger) read(ctx context.Context, point string, running *load) {
	entries, damaged, snapshots, err := readAll(ctx, point)
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	defer close(running.done)
	l.loading, running.err = nil, err
	if err != nil {
		return
	}
	seen, touched := map[string]bool{}, maps.Clone(l.touched)
	for _, e := range entries {
		seen[e.Directory] = true
		if !touched[e.Directory] {
			l.put(e.Directory, e.Info)
		}
	}
	for directory := range l.entries {
		if !seen[directory] && !touched[directory] {
			l.drop(directory)
		}
	}
	maps.DeleteFunc(l.damaged, func(directory string, _ error) bool { return !touched[directory] })
	for directory, err := range damaged {
		if !touched[directory] {
			l.damaged[directory] = err
		}
	}
	maps.DeleteFunc(l.snapshots, func(directory string, _ decide.SnapshotInfo) bool {
		return !touched[SnapshotKey(directory)]
	})
	for _, s := range snapshots {
		if !touched[SnapshotKey(s.Directory)] {
			l.snapshots[s.Directory] = s.SnapshotInfo
		}
	}
	l.loaded = true
	l.loads++
}

func readAll(ctx context.Context, point string) (
	entries []Entry, damaged map[string]error, snapshots []Snapshot, err error,
) {
	t, err := OpenTree(point)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { _ = t.Close() }()
	if entries, damaged, err = t.List(ctx); err != nil {
		return nil, nil, nil, err
	}
	snapshots, err = t.Snapshots(ctx)
	return entries, damaged, snapshots, err
}

// SnapshotKey is what Ledger.Lock locks for a snapshot.
func SnapshotKey(directory string) string { return decide.SourceSnapshot + directory }

// put and drop change an entry; the caller has locked the ledger.
func (l *Ledger) put(directory string, info decide.Info) {
	l.drop(directory)
	l.entries[directory] = info
	l.sum += info.Size
	if info.ProjectID != 0 {
		l.pool.ledgers.projects[info.ProjectID]++
	}
}

func (l *Ledger) drop(directory string) {
	l.touched[directory] = true
	delete(l.damaged, directory)
	old, found := l.entries[directory]
	if !found {
		return
	}
	delete(l.entries, directory)
	l.sum -= old.Size
	if old.ProjectID != 0 {
		if l.pool.ledgers.projects[old.ProjectID]--; l.pool.ledgers.projects[old.ProjectID] == 0 {
			delete(l.pool.ledgers.projects, old.ProjectID)
		}
	}
}

// Lock keeps other calls away from a directory until unlock is called. It waits for the call that has the lock, until
// ctx ends. Calls of two storages that have one GlusterFS volume meet here.
func (l *Ledger) Lock(ctx context.Context, directory, operation string) (unlock func(), err error) {
	for {
		l.pool.ledgers.mu.Lock()
		running, busy := l.busy[directory]
		if !busy {
			mine := lock{operation, make(chan struct{})}
			l.busy[directory] = mine
			l.pool.ledgers.mu.Unlock()
			return func() {
				l.pool.ledgers.mu.Lock()
				defer l.pool.ledgers.mu.Unlock()
				delete(l.busy, directory)
				close(mine.done)
			}, nil
		}
		l.pool.ledgers.mu.Unlock()
		select {
		case <-running.done:
		case <-ctx.Done():
			return nil, status.Errorf(codes.Aborted, "%s of %q: %s is pending for the same directory; try again", operation,
				directory, running.operation)
		}
	}
}

type lock struct {
	operation string
	done      chan struct{}
}

// Put records the metadata that was written.
func (l *Ledger) Put(directory string, info decide.Info) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	l.put(directory, info)
}

// Drop records that the metadata of a volume was removed.
func (l *Ledger) Drop(directory string) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	l.drop(directory)
}

// Get returns the metadata of a volume, and the error of damaged metadata. listed is false before the first load.
func (l *Ledger) Get(directory string) (info decide.Info, found, listed bool, err error) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	info, found = l.entries[directory]
	return info, found, l.loaded, l.damaged[directory]
}

// Loads returns the number of complete reads of all metadata.
func (l *Ledger) Loads() int {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	return l.loads
}

// Entries returns all volumes by name, and the errors of damaged metadata.
func (l *Ledger) Entries() (entries []Entry, damaged []error) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	for _, directory := range slices.Sorted(maps.Keys(l.entries)) {
		entries = append(entries, Entry{directory, l.entries[directory]})
	}
	for _, directory := range slices.Sorted(maps.Keys(l.damaged)) {
		damaged = append(damaged, l.damaged[directory])
	}
	return entries, damaged
}

// Totals returns the number of volumes, the bytes of volumes and snapshots, and the damaged files with one error.
func (l *Ledger) Totals() (volumes int, provisioned int64, damaged int, example error) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	first := ""
	for directory, err := range l.damaged {
		if first == "" || directory < first {
			first, example = directory, err
		}
	}
	return len(l.entries), l.provisioned(), len(l.damaged), example
}

func (l *Ledger) provisioned() int64 {
	sum := l.sum
	for _, s := range l.snapshots {
		sum += s.Reserved()
	}
	return sum
}

// Reserve records the size of a volume, and a project id if ids is not empty and the volume has none, before its
// metadata is written. volume is the id of the volume, taken reports ids that are used elsewhere. The caller restores
// the previous state with Put or Drop if the metadata cannot be written.
func (l *Ledger) Reserve(
	directory, volume string, info decide.Info, capacity int64, ids decide.ProjectRange, taken func(int64) bool,
) (decide.Info, error) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	current := l.entries[directory]
	if info.Size > current.Size {
		if err := decide.Fits(capacity, l.provisioned()-current.Size, info.Size); err != nil {
			return info, err
		}
	}
	if info.ProjectID == 0 && ids != (decide.ProjectRange{}) {
		projects := l.pool.ledgers.projects
		id, err := ids.Allocate(volume, len(projects), func(id int64) bool { return projects[id] > 0 || taken(id) })
		if err != nil {
			return info, err
		}
		info.ProjectID = id
	}
	l.put(directory, info)
	return info, nil
}

// ReserveSnapshot records a snapshot, and its space, before its metadata is written. The caller removes it with
// DropSnapshot if the metadata cannot be written.
func (l *Ledger) ReserveSnapshot(directory string, info decide.SnapshotInfo, capacity int64) error {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	current, found := l.snapshots[directory]
	before := int64(0)
	if found {
		before = current.Reserved()
	}
	if info.Reserved() > before {
		if err := decide.Fits(capacity, l.provisioned()-before, info.Reserved()); err != nil {
			return err
		}
	}
	l.touched[SnapshotKey(directory)] = true
	l.snapshots[directory] = info
	return nil
}

// DropSnapshot records that a snapshot was removed.
func (l *Ledger) DropSnapshot(directory string) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	l.touched[SnapshotKey(directory)] = true
	delete(l.snapshots, directory)
}

// Snapshots returns all snapshots by name.
func (l *Ledger) Snapshots() (all []Snapshot) {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	for _, directory := range slices.Sorted(maps.Keys(l.snapshots)) {
		all = append(all, Snapshot{directory, l.snapshots[directory]})
	}
	return all
}

// CopiedBy returns a snapshot or volume that is being copied from a source, such as volume/pvc-1, or an empty string.
func (l *Ledger) CopiedBy(source string) string {
	l.pool.ledgers.mu.Lock()
	defer l.pool.ledgers.mu.Unlock()
	for directory, s := range l.snapshots {
		if !s.Ready && decide.SourceVolume+s.Source == source {
			return "snapshot " + directory
		}
	}
	for directory, info := range l.entries {
		if info.Copying && info.Source == source {
			return "volume " + directory
		}
	}
	return ""
}
