//go:build linux

package gluster

import (
	"path"
	"reflect"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Reserve reserves the size of a volume, and a project id of ids if it has none. taken reports ids that are used
// elsewhere. Call Refresh if the metadata cannot be written.
func (t *Tree) Reserve(
	id decide.VolumeID, info decide.Info, ids decide.ProjectRange, taken func(int64) bool,
) (decide.Info, error) {
	capacity, _, err := t.Size()
	if err != nil {
		return info, err
	}
	return t.Ledger.Reserve(id.Directory, id.String(), info, capacity, ids, taken)
}

// Refresh reads the metadata of a volume again after a failed write, which may have had an effect.
func (t *Tree) Refresh(directory string) {
	switch info, found, err := t.Info(directory); {
	case err == nil && found:
		t.Ledger.Put(directory, info)
	case err == nil:
		t.Ledger.Drop(directory)
	}
}

// Adopt records the storage of a volume, and gives it a project id of ids if it has none. Volumes of kadalu have
// neither.
func (t *Tree) Adopt(
	id decide.VolumeID, info decide.Info, ids decide.ProjectRange, taken func(int64) bool,
) (decide.Info, error) {
	want := info
	want.Storage = id.StorageID()
	return t.change(id, info, want, ids, taken)
}

// Renumber gives a volume another project id.
func (t *Tree) Renumber(
	id decide.VolumeID, info decide.Info, ids decide.ProjectRange, taken func(int64) bool,
) (decide.Info, error) {
	want := info
	want.ProjectID = 0
	return t.change(id, info, want, ids, taken)
}

func (t *Tree) change(
	id decide.VolumeID, info, want decide.Info, ids decide.ProjectRange, taken func(int64) bool,
) (decide.Info, error) {
	want, err := t.Reserve(id, want, ids, taken)
	if err != nil || reflect.DeepEqual(want, info) {
		return want, err
	}
	if err := t.SetInfo(id.Directory, want); err != nil {
		t.Refresh(id.Directory)
		return want, err
	}
	return want, nil
}

// Restore writes metadata that is missing or damaged again. A damaged file is kept under another name.
func (t *Tree) Restore(directory string, info decide.Info) error {
	if err := t.SetDamagedAside(directory); err != nil {
		return err
	}
	if err := t.root.MkdirAll(path.Dir(decide.InfoPath(directory)), 0o700); err != nil {
		return err
	}
	if err := t.SetInfo(directory, info); err != nil {
		return err
	}
	t.Ledger.Put(directory, info)
	return nil
}
