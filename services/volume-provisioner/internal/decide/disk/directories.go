package disk

import (
	"fmt"
	"path"
	"slices"
	"strings"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// decideDirectories reports each directory, and plans to create or mark it.
func (d *decision) decideDirectories() {
	for i := range d.Node.Spec.Directories {
		d.plan.Status.Directories = append(d.plan.Status.Directories, d.directory(&d.Node.Spec.Directories[i]))
	}
}

func (d *decision) directory(spec *storagev1alpha1.DirectorySpec) storagev1alpha1.DirectoryStatus {
	fileSystem, base := d.fileSystems[spec.BasePath], d.BasePaths[spec.BasePath]
	full := path.Join(spec.BasePath, spec.Path)
	overlap := d.use(full, spec.ID)
	report := func(state storagev1alpha1.DirectoryState, format string, arguments ...any) storagev1alpha1.DirectoryStatus {
		status := d.directoryBefore(spec.ID)
		status.ID, status.State, status.Message = spec.ID, state, fmt.Sprintf(format, arguments...)
		return status
	}
	if !ValidPath(spec.Path) {
		return report(storagev1alpha1.DirectoryInvalid, "path %q must be relative, and no element may be empty or start "+
			"with a dot; change pathPattern", spec.Path)
	}
	if !usable(fileSystem.State) {
		return report(storagev1alpha1.DirectoryFailed, "%s", fileSystem.Message)
	}
	observed, seen := base.Directories[spec.Path]
	if !seen {
		return report(storagev1alpha1.DirectoryFailed, "directory %s was not read; this is a defect", full)
	}
	status := storagev1alpha1.DirectoryStatus{
		ID: spec.ID, State: storagev1alpha1.DirectoryReady, Marker: observed.Marker, FileSystem: fileSystem.ID,
	}
	report = func(state storagev1alpha1.DirectoryState, format string, arguments ...any) storagev1alpha1.DirectoryStatus {
		status.State, status.Message = state, fmt.Sprintf(format, arguments...)
		return status
	}
	if overlap != "" {
		return report(storagev1alpha1.DirectoryConflict, "directory %s overlaps with the directory of %s; change basePath "+
			"or pathPattern of one of the sets", full, overlap)
	}
	if state, message := d.place(spec, base, full); state != "" {
		return report(state, "%s", message)
	}
	if state, message := invalid(full, observed); state != "" {
		return report(state, "%s", message)
	}
	if id, waiting := d.moving[full]; waiting {
		return report(storagev1alpha1.DirectoryFailed, "directory %s is not used while VolumeWipe with uid %s deletes it",
			full, id)
	}
	if observed.Marker != nil {
		if state, message := d.foreign(spec, base, full, *observed.Marker); state != "" {
			return report(state, "%s", message)
		}
		return d.quota(spec, base, observed, status)
	}
	action := Action{
		Key: Key{Mark, spec.BasePath, spec.Path}, Directory: *spec, FileSystem: fileSystem.ID,
		Marker: storagev1alpha1.DirectoryMarker{
			ID: spec.ID, SetName: spec.SetName, SetUID: spec.SetUID, Ordinal: spec.Ordinal,
			MachineID: d.MachineID, FileSystem: fileSystem.ID,
		},
	}
	create := spec.Create && !d.existed(spec)
	switch {
	case observed.Fault == FaultMissing && !create:
		return report(storagev1alpha1.DirectoryMissing, "directory %s existed before and is missing; restore it with its "+
			"contents. It is not created again, because the replica would start without its data", full)
	case observed.Fault == FaultMissing:
		action.Kind = Create
	case observed.Empty && !create && !spec.Adopt:
		return report(storagev1alpha1.DirectoryMissing, "directory %s had data before and is empty; restore its contents "+
			"with the marker file %s", full, MarkerFile)
	case !observed.Empty && !spec.Adopt:
		return report(storagev1alpha1.DirectoryUnmarked, "directory %s is not empty and has no marker file %s; set "+
			"adoptExisting: Unmarked if its data belongs to the volume, or move the data away", full, MarkerFile)
	}
	if fileSystem.State == storagev1alpha1.FileSystemReadOnly {
		return report(storagev1alpha1.DirectoryFailed, "directory %s cannot be prepared: %s", full, fileSystem.Message)
	}
	result := d.add(action)
	return report(storagev1alpha1.DirectoryFailed, "%s", failure(action, result))
}

// ValidPath reports whether the path of a directory is relative and clean. Names that start with a dot belong to the
// agent.
func ValidPath(p string) bool {
	return !slices.ContainsFunc(strings.Split(p, "/"), func(element string) bool {
		return element == "" || strings.HasPrefix(element, ".")
	})
}

// failure is the message of a directory that an action has not prepared.
func failure(a Action, r Result) string {
	full := path.Join(a.BasePath, a.Path)
	switch {
	case r.Error != "":
		return fmt.Sprintf("%s %s: %s", a.Kind, full, r.Error)
	case r.Running:
		return fmt.Sprintf("%s %s is in progress", a.Kind, full)
	}
	return fmt.Sprintf("%s %s has not been tried yet", a.Kind, full)
}

// place checks that the volume belongs to this machine and file system. The UUID of a file system identifies a disk,
// also in a machine that was installed again; the machine id counts where there is no UUID to compare.
func (d *decision) place(
	spec *storagev1alpha1.DirectorySpec, base BasePath, full string,
) (storagev1alpha1.DirectoryState, string) {
	if spec.FileSystem != "" && !base.is(spec.FileSystem) {
		return storagev1alpha1.DirectoryWrongMachine, fmt.Sprintf("directory %s is expected on file system %s, and the base "+
			"path is on %s; mount the expected file system at %s", full, spec.FileSystem, base.ID(), spec.BasePath)
	}
	if spec.MachineID != "" && spec.MachineID != d.MachineID && (spec.FileSystem == "" || base.UUID == "") {
		return storagev1alpha1.DirectoryWrongMachine, fmt.Sprintf("directory %s is expected on the machine with id %s, and "+
			"this machine has id %s; another machine has the name of the node", full, spec.MachineID, d.MachineID)
	}
	return "", ""
}

// invalid translates faults of a directory.
func invalid(full string, observed Directory) (storagev1alpha1.DirectoryState, string) {
	switch observed.Fault {
	case "", FaultMissing:
		if observed.MarkerError != "" {
			return storagev1alpha1.DirectoryConflict, fmt.Sprintf("marker file %s/%s cannot be used: %s; restore it. If the "+
				"data belongs to the volume, remove the marker file and set adoptExisting: Unmarked", full, MarkerFile,
				observed.MarkerError)
		}
		return "", ""
	case FaultSymlink:
		return storagev1alpha1.DirectoryInvalid, fmt.Sprintf("path %s is or contains a symbolic link; replace the link by "+
			"the directory", full)
	case FaultMountPoint:
		return storagev1alpha1.DirectoryInvalid, fmt.Sprintf("path %s is or contains a mount point; unmount it, or use the "+
			"mount point as basePath", full)
	case FaultNotDirectory:
		return storagev1alpha1.DirectoryInvalid, fmt.Sprintf("path %s is or contains a file that is not a directory; move "+
			"it away", full)
	case FaultNested:
		return storagev1alpha1.DirectoryConflict, fmt.Sprintf("path %s is in the directory of another volume (%s); change "+
			"basePath or pathPattern", full, observed.Detail)
	default:
		return storagev1alpha1.DirectoryFailed, fmt.Sprintf("directory %s cannot be read: %s; check the kernel log and the "+
			"disk of the node", full, observed.Detail)
	}
}

// foreign checks whose data a directory has. A set that was created again has another uid and gets its directories
// back.
func (d *decision) foreign(
	spec *storagev1alpha1.DirectorySpec, base BasePath, full string, marker storagev1alpha1.DirectoryMarker,
) (storagev1alpha1.DirectoryState, string) {
	if marker.ID != spec.ID || marker.SetName != spec.SetName {
		return storagev1alpha1.DirectoryConflict, fmt.Sprintf("directory %s has the data of volume %s of set %s; move it "+
			"away. If the data belongs to %s of set %s, remove the marker file %s and set adoptExisting: Unmarked", full,
			marker.ID, marker.SetName, spec.ID, spec.SetName, MarkerFile)
	}
	switch {
	case spec.FileSystem != "":
		return "", ""
	case marker.FileSystem != "" && !base.is(marker.FileSystem):
		return storagev1alpha1.DirectoryWrongMachine, fmt.Sprintf("directory %s was created on file system %s and is a copy "+
			"on %s; if this copy is the data to use, set fileSystem in its marker file %s to %s", full,
			marker.FileSystem, base.ID(), MarkerFile, base.ID())
	case marker.FileSystem == "" && marker.MachineID != "" && marker.MachineID != d.MachineID:
		return storagev1alpha1.DirectoryWrongMachine, fmt.Sprintf("directory %s was created on the machine with id %s, and "+
			"this machine has id %s; if this is the data to use, set machineID in its marker file %s to %s", full,
			marker.MachineID, d.MachineID, MarkerFile, d.MachineID)
	}
	return "", ""
}

// use records the directory of a volume. It returns the id of an earlier volume whose directory is the same, contains
// this one, or is in it.
func (d *decision) use(full, id string) (overlap string) {
	overlap = d.inside[full]
	for dir := full; dir != "/" && dir != "."; dir = path.Dir(dir) {
		if other, used := d.used[dir]; used {
			overlap = other
		}
		if _, known := d.inside[dir]; !known && dir != full {
			d.inside[dir] = id
		}
	}
	if _, known := d.used[full]; !known {
		d.used[full] = id
	}
	return overlap
}

// existed reports whether the agent has reported the directory of a volume as its own, or as missing. The controller
// records that in the spec later.
func (d *decision) existed(spec *storagev1alpha1.DirectorySpec) bool {
	before := d.directoryBefore(spec.ID)
	if before.State == storagev1alpha1.DirectoryMissing {
		return true
	}
	m := before.Marker
	return m != nil && m.ID == spec.ID && m.SetName == spec.SetName
}

func (d *decision) directoryBefore(id string) storagev1alpha1.DirectoryStatus {
	if s := d.before[id]; s != nil {
		return *s
	}
	return storagev1alpha1.DirectoryStatus{}
}
