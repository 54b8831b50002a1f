// Package disk decides what the agent does on its node: from its LocalVolumeNode and what it observes on the file
// systems, to actions and the status.
package disk

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// MarkerFile is the file in the directory of a volume that says whose data it has.
const MarkerFile = ".volume-id"

// TrashDirectory contains the directories that VolumeWipes moved, below the base path.
const TrashDirectory = ".trash"

// State is everything that a decision depends on.
type State struct {
	// Node is the LocalVolumeNode of the agent.
	Node *storagev1alpha1.LocalVolumeNode
	// NodeUID is the uid of the Node, if known.
	NodeUID types.UID
	// MachineID is the id of the machine.
	MachineID string
	// AllowedBasePaths are the values of --allowed-base-paths.
	AllowedBasePaths []string
	// BasePaths are the observed base paths, by path. Only those that are allowed are observed.
	BasePaths map[string]BasePath
	// Results are the results of actions since the last change of the plan.
	Results map[Key]Result
	// Now is the current time.
	Now time.Time
}

// BasePath is an observed base path.
type BasePath struct {
	// Fault is why the base path cannot be used, if it cannot.
	Fault Fault
	// Detail explains the fault.
	Detail string
	// Type, UUID and FSID of the file system; an id may be empty.
	Type, UUID, FSID string
	// MountPoint is true if the base path is the root of a mounted file system.
	MountPoint bool
	// ReadOnly is true if writes fail.
	ReadOnly bool
	// Quota is true if project quota is enforced.
	Quota bool
	// CapacityBytes and AvailableBytes are the size of the file system.
	CapacityBytes, AvailableBytes int64
	// Directories are those of spec.directories and spec.wipes, by path.
	Directories map[string]Directory
	// Trash are the directories of deletions, by the uid of the VolumeWipe.
	Trash map[types.UID]Trash
	// Found are all directories with a marker.
	Found []Found
}

// ID returns the UUID of the file system, or its fsid.
func (b BasePath) ID() string {
	if b.UUID != "" {
		return b.UUID
	}
	return b.FSID
}

// is reports whether id names the file system.
func (b BasePath) is(id string) bool { return id != "" && (id == b.UUID || id == b.FSID) }

// Fault is why a base path or a directory cannot be used.
type Fault string

// Faults.
const (
	// FaultMissing: it does not exist.
	FaultMissing Fault = "Missing"
	// FaultSymlink: it is or contains a symbolic link.
	FaultSymlink Fault = "Symlink"
	// FaultMountPoint: another file system is mounted on it or above it.
	FaultMountPoint Fault = "MountPoint"
	// FaultNotDirectory: it is not a directory.
	FaultNotDirectory Fault = "NotDirectory"
	// FaultNested: it is in the directory of a volume.
	FaultNested Fault = "Nested"
	// FaultIO: the file system reports an I/O error or does not answer.
	FaultIO Fault = "IO"
	// FaultUnreadable: another error.
	FaultUnreadable Fault = "Unreadable"
)

// Directory is an observed directory.
type Directory struct {
	// Fault and Detail are as in BasePath.
	Fault  Fault
	Detail string
	// Marker is the content of the marker file, or nil.
	Marker *storagev1alpha1.DirectoryMarker
	// MarkerError is why the marker file cannot be used. It is not set if there is none.
	MarkerError string
	// Empty is true if the directory has no entries besides the marker.
	Empty bool
	// Project is the quota project and Inherited is true if it is that of the base path.
	Project   uint32
	Inherited bool
	// LimitBytes and UsedBytes are the quota of the project.
	LimitBytes, UsedBytes int64
}

// Trash is a directory that was moved for a deletion.
type Trash struct {
	// Path is relative to the base path.
	Path string
	// Moved is the time at which it was moved.
	Moved time.Time
	// Empty is true when everything in it is removed.
	Empty bool
}

// Found is a directory with a marker.
type Found struct {
	// Path is relative to the base path.
	Path string
	// Marker is the content of the marker file.
	Marker storagev1alpha1.DirectoryMarker
}

// Key identifies an action.
type Key struct {
	Kind     ActionKind
	BasePath string
	Path     string
}

// Result is the result of an action.
type Result struct {
	// Running is true while the action has not ended.
	Running bool
	// Error is the error of the action; empty if it succeeded.
	Error string
	// FreedBytes is the space that Empty freed.
	FreedBytes int64
}

// ActionKind is the kind of an action.
type ActionKind string

// Kinds of actions.
const (
	// Create creates a directory with its marker.
	Create ActionKind = "create"
	// Mark writes the marker of a directory that exists.
	Mark ActionKind = "mark"
	// Limit sets the quota of a directory.
	Limit ActionKind = "limit"
	// Unlimit removes the quota of a directory.
	Unlimit ActionKind = "unlimit"
	// Move moves a directory to the trash.
	Move ActionKind = "move"
	// Empty removes the contents of a directory in the trash.
	Empty ActionKind = "empty"
	// Forget removes an empty directory from the trash.
	Forget ActionKind = "forget"
)

// Action is one change of a file system.
type Action struct {
	Key
	// Directory is the directory of Create, Mark, Limit and Unlimit.
	Directory storagev1alpha1.DirectorySpec
	// Marker is the content of the marker of Create and Mark.
	Marker storagev1alpha1.DirectoryMarker
	// FileSystem is the id of the file system that the action is decided for. The action fails on another one.
	FileSystem string
	// Target is the new path of Move.
	Target string
	// ID is the id that the marker must have for Move.
	ID string
	// Taken are projects of other directories. Limit chooses another one.
	Taken []uint32
}

// Plan is what the agent does.
type Plan struct {
	// Actions are the changes, in their order.
	Actions []Action
	// Status is the status of the LocalVolumeNode if there are no actions. After actions, the agent observes and decides
	// again.
	Status storagev1alpha1.LocalVolumeNodeStatus
	// Requeue is the time until the decision changes without an event; 0 for never.
	Requeue time.Duration
}
