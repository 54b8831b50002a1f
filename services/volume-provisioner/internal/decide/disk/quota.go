package disk

import (
	"fmt"
	"path"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// quota plans the limit of a directory whose marker matches.
func (d *decision) quota(
	spec *storagev1alpha1.DirectorySpec, base BasePath, observed Directory, status storagev1alpha1.DirectoryStatus,
) storagev1alpha1.DirectoryStatus {
	fail := func(format string, arguments ...any) storagev1alpha1.DirectoryStatus {
		status.State, status.Message = storagev1alpha1.DirectoryFailed, fmt.Sprintf(format, arguments...)
		return status
	}
	own := observed.Project != 0 && !observed.Inherited
	action := Action{
		Key: Key{Limit, spec.BasePath, spec.Path}, Directory: *spec, FileSystem: base.ID(),
	}
	readOnly := d.fileSystems[spec.BasePath].State == storagev1alpha1.FileSystemReadOnly
	if spec.Quota != storagev1alpha1.QuotaXFS {
		if action.Kind = Unlimit; own && observed.LimitBytes > 0 && !readOnly {
			if result := d.add(action); result.Error != "" {
				status.Message = failure(action, result)
			}
		}
		return status
	}
	if !base.Quota {
		return fail("quota: XFS of %s needs project quota, and the file system of %s does not enforce it; mount XFS with "+
			"the option prjquota, or set quota: None", path.Join(spec.BasePath, spec.Path), spec.BasePath)
	}
	if own && observed.LimitBytes == blocks(spec.Bytes) && !d.shared(spec, observed.Project) {
		status.LimitBytes, status.UsedBytes = observed.LimitBytes, observed.UsedBytes
		before := d.directoryBefore(spec.ID)
		if difference := before.UsedBytes - status.UsedBytes; before.LimitBytes == status.LimitBytes &&
			max(difference, -difference) <= status.LimitBytes/100 {
			status.UsedBytes = before.UsedBytes
		}
		return status
	}
	if readOnly {
		return fail("%s", d.fileSystems[spec.BasePath].Message)
	}
	action.Taken = d.taken(spec)
	return fail("%s", failure(action, d.add(action)))
}

// blocks rounds a size up to the unit of XFS quota.
func blocks(bytes int64) int64 { return (bytes + 511) / 512 * 512 }

// taken returns the projects of the other directories of the base path.
func (d *decision) taken(spec *storagev1alpha1.DirectorySpec) []uint32 {
	var taken []uint32
	for i := range d.Node.Spec.Directories {
		other := &d.Node.Spec.Directories[i]
		project := d.BasePaths[other.BasePath].Directories[other.Path].Project
		if other.ID != spec.ID && project != 0 {
			taken = append(taken, project)
		}
	}
	return taken
}

// shared reports whether an earlier directory of the spec has the project.
func (d *decision) shared(spec *storagev1alpha1.DirectorySpec, project uint32) bool {
	for i := range d.Node.Spec.Directories {
		other := &d.Node.Spec.Directories[i]
		if other.ID == spec.ID {
			return false
		}
		if other.BasePath == spec.BasePath && d.BasePaths[other.BasePath].Directories[other.Path].Project == project {
			return true
		}
	}
	return false
}
