package disk

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// Decide returns the actions and the status for a state.
func Decide(s State) Plan {
	d := decision{
		State: s, fileSystems: map[string]storagev1alpha1.FileSystemStatus{},
		before: make(map[string]*storagev1alpha1.DirectoryStatus, len(s.Node.Status.Directories)),
		used:   map[string]string{}, inside: map[string]string{},
	}
	for i := range s.Node.Status.Directories {
		d.before[s.Node.Status.Directories[i].ID] = &s.Node.Status.Directories[i]
	}
	d.plan.Status = storagev1alpha1.LocalVolumeNodeStatus{
		ObservedGeneration: s.Node.Generation,
		NodeUID:            cmp.Or(s.NodeUID, s.Node.Status.NodeUID),
		MachineID:          s.MachineID,
		AllowedBasePaths:   slices.Clone(s.AllowedBasePaths),
	}
	d.decideFileSystems()
	d.decideWipes()
	d.decideDirectories()
	d.decideFound()
	d.summarize()
	return d.plan
}

// BasePaths returns all base paths that a spec names.
func BasePaths(spec storagev1alpha1.LocalVolumeNodeSpec) []string {
	all := slices.Clone(spec.BasePaths)
	for _, d := range spec.Directories {
		all = append(all, d.BasePath)
	}
	for _, w := range spec.Wipes {
		all = append(all, w.BasePath)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Allowed reports whether a base path is one of the allowed paths, or in one of them.
func Allowed(basePath string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return path.Clean(basePath) == basePath && (basePath == a || strings.HasPrefix(basePath, a+"/"))
	})
}

type decision struct {
	State
	plan        Plan
	fileSystems map[string]storagev1alpha1.FileSystemStatus
	// before are the reported directories, by id.
	before map[string]*storagev1alpha1.DirectoryStatus
	// used are the ids of the directories that were decided, by path. inside are those of directories that are in it.
	used, inside map[string]string
	// moving are the directories that a VolumeWipe has not moved yet, and their ids.
	moving map[string]string
	// wipeFailure is the message of a failed deletion.
	wipeFailure string
}

// add adds an action unless its last attempt failed or runs. It returns the result of the last attempt.
func (d *decision) add(a Action) Result {
	result, attempted := d.Results[a.Key]
	if !attempted || !result.Running && result.Error == "" {
		d.plan.Actions = append(d.plan.Actions, a)
	}
	return result
}

// requeue makes sure that the decision is made again after the given time.
func (d *decision) requeue(after time.Duration) {
	if d.plan.Requeue == 0 || after < d.plan.Requeue {
		d.plan.Requeue = max(after, time.Second)
	}
}

// usable reports whether directories of a base path can be read.
func usable(state storagev1alpha1.FileSystemState) bool {
	return state == storagev1alpha1.FileSystemReady || state == storagev1alpha1.FileSystemReadOnly
}

// decideFound reports directories with a marker that the spec does not name.
func (d *decision) decideFound() {
	named := map[string]bool{}
	for _, spec := range d.Node.Spec.Directories {
		named[path.Join(spec.BasePath, spec.Path)] = true
	}
	for _, basePath := range slices.Sorted(maps.Keys(d.BasePaths)) {
		if !usable(d.fileSystems[basePath].State) {
			// The disk has not lost its directories.
			for _, f := range d.Node.Status.Found {
				if f.BasePath == basePath && !named[path.Join(basePath, f.Path)] {
					d.plan.Status.Found = append(d.plan.Status.Found, f)
				}
			}
			continue
		}
		for _, f := range d.BasePaths[basePath].Found {
			full := path.Join(basePath, f.Path)
			if named[full] {
				continue
			}
			// A base path may contain another one.
			named[full] = true
			d.plan.Status.Found = append(d.plan.Status.Found, storagev1alpha1.FoundDirectory{
				BasePath: basePath, Path: f.Path, Marker: f.Marker, FileSystem: d.fileSystems[basePath].ID,
			})
		}
	}
}

// summarize writes the counters and the condition Ready.
func (d *decision) summarize() {
	s := &d.plan.Status
	ready, firstDirectory := 0, ""
	for _, directory := range s.Directories {
		if directory.State == storagev1alpha1.DirectoryReady {
			ready++
		} else if firstDirectory == "" {
			firstDirectory = fmt.Sprintf("%s: %s", directory.ID, directory.Message)
		}
	}
	s.Ready = fmt.Sprintf("%d/%d", ready, len(s.Directories))
	var available int64
	counted, firstFileSystem := map[string]bool{}, ""
	for _, f := range s.FileSystems {
		if f.State != storagev1alpha1.FileSystemReady && firstFileSystem == "" {
			firstFileSystem = f.Message
		}
		if !counted[f.ID] || f.ID == "" {
			counted[f.ID] = true
			available += f.AvailableBytes
		}
	}
	s.Available = size(available)
	status, reason, message := metav1.ConditionTrue, storagev1alpha1.NodeReasonReady, s.Ready+" directories are ready"
	switch {
	case firstFileSystem != "":
		status, reason, message = metav1.ConditionFalse, storagev1alpha1.NodeReasonFileSystem, firstFileSystem
	case firstDirectory != "":
		status, reason, message = metav1.ConditionFalse, storagev1alpha1.NodeReasonDirectory, firstDirectory
	case d.wipeFailure != "":
		status, reason, message = metav1.ConditionFalse, storagev1alpha1.NodeReasonWipe, d.wipeFailure
	}
	s.Conditions = slices.Clone(d.Node.Status.Conditions)
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: storagev1alpha1.ConditionReady, Status: status, Reason: string(reason), Message: message,
		ObservedGeneration: d.Node.Generation, LastTransitionTime: metav1.NewTime(d.Now.Truncate(time.Second)),
	})
}

// size formats bytes in MiB or GiB, rounded down.
func size(bytes int64) string {
	unit := int64(1 << 20)
	if bytes >= 10<<30 {
		unit = 1 << 30
	}
	return resource.NewQuantity(bytes/unit*unit, resource.BinarySI).String()
}
