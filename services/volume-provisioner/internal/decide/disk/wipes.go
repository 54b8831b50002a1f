package disk

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// TrashName returns the name of the directory in the trash for a VolumeWipe. The empty directory stays until the
// VolumeWipe leaves the spec: a directory that is created at the same path later is not deleted.
func TrashName(id types.UID, moved time.Time) string {
	return strconv.FormatInt(moved.Unix(), 10) + "-" + string(id)
}

// ParseTrashName is the inverse of TrashName.
func ParseTrashName(name string) (id types.UID, moved time.Time, ok bool) {
	seconds, uid, found := strings.Cut(name, "-")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	return types.UID(uid), time.Unix(unix, 0), found && err == nil && uid != ""
}

// decideWipes plans the deletions.
func (d *decision) decideWipes() {
	d.moving = map[string]string{}
	wanted := map[types.UID]bool{}
	for i := range d.Node.Spec.Wipes {
		w := &d.Node.Spec.Wipes[i]
		wanted[w.ID] = true
		d.plan.Status.Wipes = append(d.plan.Status.Wipes, d.wipe(w))
	}
	for _, basePath := range slices.Sorted(maps.Keys(d.BasePaths)) {
		if d.fileSystems[basePath].State != storagev1alpha1.FileSystemReady {
			continue
		}
		trash := d.BasePaths[basePath].Trash
		for _, id := range slices.Sorted(maps.Keys(trash)) {
			// Data that no VolumeWipe names any more is kept.
			if trash[id].Empty && !wanted[id] {
				d.add(Action{Key: Key{Forget, basePath, trash[id].Path}, FileSystem: d.fileSystems[basePath].ID})
			}
		}
	}
}

func (d *decision) wipe(w *storagev1alpha1.WipeSpec) storagev1alpha1.WipeStatus {
	fileSystem, base := d.fileSystems[w.BasePath], d.BasePaths[w.BasePath]
	full := path.Join(w.BasePath, w.Path)
	status := d.wipeBefore(w.ID)
	before := status.State
	status.ID, status.Message = w.ID, ""
	report := func(state storagev1alpha1.WipeState, format string, arguments ...any) storagev1alpha1.WipeStatus {
		status.State, status.Message = state, fmt.Sprintf(format, arguments...)
		if state == storagev1alpha1.WipeFailed {
			d.wipeFailure = status.Message
		}
		return status
	}
	switch {
	case !ValidPath(w.Path):
		return report(storagev1alpha1.WipeRefused, "path %q must be relative, and no element may be empty or start with "+
			"a dot", w.Path)
	case before == storagev1alpha1.WipeDone:
		return report(before, "the data is deleted")
	case fileSystem.State != storagev1alpha1.FileSystemReady:
		return report(storagev1alpha1.WipePending, "%s", fileSystem.Message)
	}
	if trash, moved := base.Trash[w.ID]; moved {
		return d.empty(w, trash, status)
	}
	if before == storagev1alpha1.WipeMoved || before == storagev1alpha1.WipeRefused {
		return report(storagev1alpha1.WipeRefused, "the renamed directory of %s is not in %s any more: it was moved by "+
			"hand; nothing is deleted. Create another VolumeWipe to delete it again", full, TrashDirectory)
	}
	observed := base.Directories[w.Path]
	switch {
	case observed.Fault == FaultMissing:
		return report(storagev1alpha1.WipeDone, "directory %s does not exist", full)
	case observed.Fault != "" || observed.MarkerError != "":
		_, message := invalid(full, observed)
		return report(storagev1alpha1.WipeFailed, "%s", message)
	case observed.Marker == nil:
		return report(storagev1alpha1.WipeFailed, "directory %s has no marker file %s, so that it is not known whose data "+
			"it has; delete it by hand", full, MarkerFile)
	case observed.Marker.ID != w.Marker:
		return report(storagev1alpha1.WipeFailed, "directory %s has the data of volume %s and not of %s; nothing is deleted",
			full, observed.Marker.ID, w.Marker)
	}
	d.moving[full] = string(w.ID)
	action := Action{
		Key: Key{Move, w.BasePath, w.Path}, FileSystem: fileSystem.ID, ID: w.Marker,
		Target: path.Join(TrashDirectory, TrashName(w.ID, d.Now)),
	}
	result := d.add(action)
	if result.Error != "" {
		return report(storagev1alpha1.WipeFailed, "%s", failure(action, result))
	}
	return report(storagev1alpha1.WipePending, "%s", failure(action, result))
}

// empty plans to remove a directory that was moved to the trash.
func (d *decision) empty(
	w *storagev1alpha1.WipeSpec, trash Trash, status storagev1alpha1.WipeStatus,
) storagev1alpha1.WipeStatus {
	key := Key{Empty, w.BasePath, trash.Path}
	result := d.Results[key]
	status.FreedBytes = max(status.FreedBytes, result.FreedBytes)
	if trash.Empty && !result.Running {
		status.State, status.Message = storagev1alpha1.WipeDone, "the data is deleted"
		return status
	}
	where := path.Join(w.BasePath, trash.Path)
	due := trash.Moved.Add(w.KeepFor.Duration)
	if d.Now.Before(due) {
		d.requeue(due.Sub(d.Now))
		status.State = storagev1alpha1.WipeMoved
		status.Message = fmt.Sprintf("the directory is now %s; it is removed after %s. Rename it back to keep the data",
			where, due.UTC().Format(time.RFC3339))
		return status
	}
	action := Action{Key: key, FileSystem: d.fileSystems[w.BasePath].ID}
	// The state stays Moved after an error: a directory that is created at the same path later is not deleted.
	status.State, status.Message = storagev1alpha1.WipeMoved, "the contents of "+where+" are being removed"
	if result := d.add(action); result.Error != "" {
		status.Message = failure(action, result)
		d.wipeFailure = status.Message
	}
	return status
}

func (d *decision) wipeBefore(id types.UID) storagev1alpha1.WipeStatus {
	for _, w := range d.Node.Status.Wipes {
		if w.ID == id {
			return w
		}
	}
	return storagev1alpha1.WipeStatus{}
}
