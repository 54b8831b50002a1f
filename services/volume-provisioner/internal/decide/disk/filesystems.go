package disk

import (
	"fmt"
	"strings"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// decideFileSystems reports the base paths. The previous status is the memory of the file systems: a base path that is
// not on the same file system as before is not used.
func (d *decision) decideFileSystems() {
	for _, basePath := range BasePaths(d.Node.Spec) {
		status := d.fileSystem(basePath)
		d.fileSystems[basePath] = status
		d.plan.Status.FileSystems = append(d.plan.Status.FileSystems, status)
	}
}

func (d *decision) fileSystem(basePath string) storagev1alpha1.FileSystemStatus {
	before := d.fileSystemBefore(basePath)
	// The id and the size are kept while the file system cannot be read.
	status := before
	status.BasePath, status.Message = basePath, ""
	report := func(
		state storagev1alpha1.FileSystemState, format string, arguments ...any,
	) storagev1alpha1.FileSystemStatus {
		status.State, status.Message = state, fmt.Sprintf(format, arguments...)
		return status
	}
	if !Allowed(basePath, d.AllowedBasePaths) {
		return report(storagev1alpha1.FileSystemNotAllowed, "base path %s is not in --allowed-base-paths=%s of the agent; "+
			"add it to the flag of the agents and of the controller, and mount it into the agents", basePath,
			strings.Join(d.AllowedBasePaths, ","))
	}
	observed := d.BasePaths[basePath]
	if state, message := faultOf(basePath, observed); state != "" {
		return report(state, "%s", message)
	}
	switch {
	case before.MountPoint && !observed.MountPoint:
		return report(storagev1alpha1.FileSystemNotMounted, "base path %s was the mount point of file system %s and is not "+
			"mounted; mount it. If the disk was removed on purpose, run: kubectl delete localvolumenode %s", basePath,
			before.ID, d.Node.Name)
	case before.ID != "" && !observed.is(before.ID):
		return report(storagev1alpha1.FileSystemChanged, "base path %s is on file system %s and was on %s before; mount "+
			"that file system. If the disk was replaced on purpose, run: kubectl delete localvolumenode %s", basePath,
			observed.ID(), before.ID, d.Node.Name)
	}
	status = storagev1alpha1.FileSystemStatus{
		BasePath: basePath, State: storagev1alpha1.FileSystemReady, Type: observed.Type, ID: observed.ID(),
		MountPoint: observed.MountPoint, Quota: observed.Quota, CapacityBytes: observed.CapacityBytes,
		AvailableBytes: observed.AvailableBytes,
	}
	if before.CapacityBytes == observed.CapacityBytes && near(before.AvailableBytes, observed) {
		status.AvailableBytes = before.AvailableBytes
	}
	if observed.ReadOnly {
		return report(storagev1alpha1.FileSystemReadOnly, "the file system of base path %s is read-only; check the kernel "+
			"log of the node for I/O errors, repair the file system, and mount it writable", basePath)
	}
	return status
}

// faultOf translates a fault of a base path.
func faultOf(basePath string, observed BasePath) (storagev1alpha1.FileSystemState, string) {
	switch observed.Fault {
	case "":
		return "", ""
	case FaultMissing:
		return storagev1alpha1.FileSystemMissing, fmt.Sprintf("base path %s does not exist; create it on the node, and "+
			"mount its disk", basePath)
	case FaultSymlink:
		return storagev1alpha1.FileSystemInvalid, fmt.Sprintf("base path %s is or contains a symbolic link; use the path "+
			"that it points to", basePath)
	case FaultNotDirectory:
		return storagev1alpha1.FileSystemInvalid, fmt.Sprintf("base path %s is not a directory; use a directory", basePath)
	case FaultNested:
		return storagev1alpha1.FileSystemInvalid, fmt.Sprintf("base path %s is in the directory of a volume (%s); use "+
			"another directory", basePath, observed.Detail)
	default:
		return storagev1alpha1.FileSystemError, fmt.Sprintf("base path %s cannot be read: %s; check the kernel log and the "+
			"disk of the node", basePath, observed.Detail)
	}
}

func (d *decision) fileSystemBefore(basePath string) storagev1alpha1.FileSystemStatus {
	for _, f := range d.Node.Status.FileSystems {
		if f.BasePath == basePath {
			return f
		}
	}
	return storagev1alpha1.FileSystemStatus{}
}

// FullPercent is the free space below which a file system counts as full.
const FullPercent = 2

// Full reports whether a file system has less free space than FullPercent.
func Full(availableBytes, capacityBytes int64) bool {
	return availableBytes < capacityBytes/100*FullPercent
}

// near reports whether the free space has changed by at most one percent of the capacity, and the file system has not
// become full. One that is full has to gain more than one percent, so that the state does not alternate.
func near(before int64, observed BasePath) bool {
	difference := before - observed.AvailableBytes
	becameFull := !Full(before, observed.CapacityBytes) && Full(observed.AvailableBytes, observed.CapacityBytes)
	return max(difference, -difference) <= observed.CapacityBytes/100 && !becameFull
}
