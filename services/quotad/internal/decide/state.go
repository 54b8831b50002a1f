package decide

import storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"

// Manager is the name of the service. The field manager of its writes is Manager, a hyphen, and the UUID of the Gluster
// node.
const Manager = "quotad"

// Target is the limit of one directory that should be in effect.
type Target struct {
	// Path of the directory relative to the root of the volume.
	Path string
	// Bytes is the size of the directory in the whole volume.
	Bytes int64
	// Project is the XFS project id. 0: quotad chooses one.
	Project uint32
	// Problem is why the size is not known. Its limit then stays as it is. It is empty if the size is known.
	Problem string
	// Name is the GlusterVolume that requests the limit, and Generation its generation. Only in cluster mode.
	Name       string
	Generation int64
}

// Owner is the directory that a project id was given to, as quotad has recorded it.
type Owner struct {
	// Volume is the UUID of the GlusterFS volume.
	Volume string `json:"volume"`
	// Path of the directory relative to the root of the volume.
	Path string `json:"path"`
	// Assigned is true when everything in the directory belongs to the project.
	Assigned bool `json:"assigned,omitempty"`
	// Released is true when the directory was deleted. The id is free again when no file uses it.
	Released bool `json:"released,omitempty"`
}

// Usage is the limit and the use of a project on a file system.
type Usage struct {
	LimitBytes, UsedBytes int64
	Files                 int64
}

// isUsed reports whether the project has a limit or files.
func (u Usage) isUsed() bool { return u.LimitBytes != 0 || u.Files != 0 }

// Directory is an observed directory.
type Directory struct {
	// Exists is true if the directory exists.
	Exists bool
	// Problem is why the directory cannot be limited, for example because it is a symbolic link.
	Problem string
	// Project of the directory; Inherit is true if new entries get it.
	Project uint32
	Inherit bool
	// Inherited is true if the directory got its project from the directory above it.
	Inherited bool
}

// Problem is why no directory of a brick can be limited.
type Problem struct {
	State   BrickState
	Message string
}

// BrickState is the state of a limit, as in the status of a GlusterVolume.
type BrickState = storagev1alpha1.BrickState

// States of a limit.
const (
	Enforced     = storagev1alpha1.BrickEnforced
	Waiting      = storagev1alpha1.BrickWaiting
	Arbiter      = storagev1alpha1.BrickArbiter
	Unsupported  = storagev1alpha1.BrickUnsupported
	Refused      = storagev1alpha1.BrickRefused
	ProjectInUse = storagev1alpha1.BrickProjectInUse
	Unavailable  = storagev1alpha1.BrickUnavailable
	Failed       = storagev1alpha1.BrickFailed
)

// State is the input of a decision about one brick. It may be restricted to some directories.
type State struct {
	Volume Volume
	Brick  Brick
	// Problem of the brick, or nil.
	Problem *Problem
	// Targets are the limits that should be in effect.
	Targets []Target
	// Directories are the observed directories, by path: those of Targets, and those that quotad has limited before.
	Directories map[string]Directory
	// Owners are the recorded owners of project ids on the brick's file system.
	Owners map[uint32]Owner
	// Usage has the projects of the file system, at least those of Targets, Directories, Owners and Candidates.
	Usage map[uint32]Usage
	// BlockBytes is the size of a block of the file system. Limits are multiples of it.
	BlockBytes int64
}

// Plan is what to do on a brick.
type Plan struct {
	// Steps are performed in order. Each step is independent of the others.
	Steps []Step
	// Results has an entry for each target, in the order of the targets.
	Results []Result
	// Kept are the paths of directories that are no longer targets and keep their limits, because they still exist.
	Kept []string
}

// Step changes the limit of one directory. The parts are performed in the order of the fields. A crash between two
// parts leaves a state from which the next decision goes on.
type Step struct {
	// Volume is the UUID of the GlusterFS volume.
	Volume  string
	Path    string
	Project uint32
	// Own is the record to write first, or nil.
	Own *Owner
	// SetLimit sets LimitBytes.
	SetLimit   bool
	LimitBytes int64
	// Assign assigns the directory and everything in it to the project, and then records that.
	Assign bool
	// Forget removes the record.
	Forget bool
}

// Result is the state of the limit of one target. A step that fails changes it to Failed.
type Result struct {
	Target     Target
	State      BrickState
	Message    string
	LimitBytes int64
	UsedBytes  int64
}
