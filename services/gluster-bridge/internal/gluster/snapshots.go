//go:build linux

package gluster

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Snapshot is a snapshot with valid metadata.
type Snapshot struct {
	Directory string
	decide.SnapshotInfo
}

// Snapshot returns the metadata of a snapshot; found is false if it does not exist.
func (t *Tree) Snapshot(directory string) (info decide.SnapshotInfo, found bool, err error) {
	data, err := t.root.ReadFile(decide.SnapshotInfoPath(directory), decide.MaxInfo)
	if missing(err) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	info, err = decide.ParseSnapshotInfo(directory, data)
	return info, err == nil, err
}

// SetSnapshot writes the metadata of a snapshot.
func (t *Tree) SetSnapshot(directory string, info decide.SnapshotInfo) error {
	if err := t.root.MkdirAll(path.Dir(decide.SnapshotInfoPath(directory)), 0o700); err != nil {
		return err
	}
	return t.root.WriteFile(decide.SnapshotInfoPath(directory), info.Encode(), 0o600)
}

// RemoveSnapshot takes a snapshot away: its directory is moved to the trash, and its metadata is removed.
func (t *Tree) RemoveSnapshot(directory, unique string) error {
	if err := t.root.MkdirAll(decide.TrashDir, 0o700); err != nil {
		return err
	}
	target := path.Join(decide.TrashDir, "snapshot-"+directory+"."+unique)
	if err := ignore(t.rename(decide.SnapshotDataPath(directory), target)); err != nil {
		return err
	}
	return ignore(t.root.Remove(decide.SnapshotInfoPath(directory)))
}

// Snapshots returns the snapshots, by name. Damaged metadata is left out.
func (t *Tree) Snapshots(ctx context.Context) (snapshots []Snapshot, err error) {
	var mu sync.Mutex
	err = t.walk(ctx, decide.SnapshotInfoRoot, infoDepth, func(name string) {
		directory, found := strings.CutSuffix(path.Base(name), ".json")
		if !found || decide.SnapshotInfoPath(directory) != name || !decide.ValidDirectory(directory) {
			return
		}
		if info, found, err := t.Snapshot(directory); err == nil && found {
			mu.Lock()
			defer mu.Unlock()
			snapshots = append(snapshots, Snapshot{directory, info})
		}
	})
	slices.SortFunc(snapshots, func(a, b Snapshot) int { return strings.Compare(a.Directory, b.Directory) })
	return snapshots, err
}
