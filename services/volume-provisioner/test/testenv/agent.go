package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
)

// Agent simulates the agent of a node. Unlike the real agent, several of them can run on one machine: each has its own
// root directory for the base paths of its node.
type Agent struct {
	// Node is the name of the node, Machine its id.
	Node, Machine string
	// Root contains the base paths of the node.
	Root string
	// Capacity of the file system; the default is 1Ti.
	Capacity int64
	// State of all base paths; the default is Ready.
	State storagev1alpha1.FileSystemState
	// Quota makes all file systems enforce project quota.
	Quota bool
	// Stop stops the agent.
	Stop func()
}

const markerFile = ".volume-id"

// Start runs the agent until the test ends or Stop is called.
func (a *Agent) Start(e *Env) {
	e.Helper()
	a.Stop = Start(e.T, func(ctx context.Context) error { return a.Run(ctx, e.Weir) })
}

// Run creates the LocalVolumeNode and does its work until ctx ends.
func (a *Agent) Run(ctx context.Context, weir versioned.Interface) error {
	nodes := weir.StorageV1alpha1().LocalVolumeNodes()
	for ctx.Err() == nil {
		object := &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: a.Node}}
		_, err := nodes.Create(ctx, object, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			if _, err = a.Sync(ctx, weir); err == nil {
				err = a.watch(ctx, weir)
			}
		}
		if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("agent of %s: %w", a.Node, err)
		}
	}
	return nil
}

func (a *Agent) watch(ctx context.Context, weir versioned.Interface) error {
	return testkit.PollEvery(ctx, 20*time.Millisecond, "the end of the agent", func(ctx context.Context) error {
		if _, err := a.Sync(ctx, weir); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
			return testkit.Permanent(err)
		}
		return errors.New("the agent runs")
	})
}

// Sync does the work of the node once.
func (a *Agent) Sync(ctx context.Context, weir versioned.Interface) (changed bool, err error) {
	nodes := weir.StorageV1alpha1().LocalVolumeNodes()
	object, err := nodes.Get(ctx, a.Node, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	status := a.work(object)
	if equality.Semantic.DeepEqual(status, object.Status) {
		return false, nil
	}
	object.Status = status
	_, err = nodes.UpdateStatus(ctx, object, metav1.UpdateOptions{})
	return true, err
}

func (a *Agent) work(object *storagev1alpha1.LocalVolumeNode) storagev1alpha1.LocalVolumeNodeStatus {
	capacity, state := a.Capacity, a.State
	if capacity == 0 {
		capacity = 1 << 40
	}
	if state == "" {
		state = storagev1alpha1.FileSystemReady
	}
	status := storagev1alpha1.LocalVolumeNodeStatus{ObservedGeneration: object.Generation, MachineID: a.Machine}
	for _, base := range object.Spec.BasePaths {
		status.FileSystems = append(status.FileSystems, storagev1alpha1.FileSystemStatus{
			BasePath: base, State: state, ID: "fs-" + a.Machine, CapacityBytes: capacity, AvailableBytes: capacity,
			Quota: a.Quota,
		})
	}
	requested := map[string]bool{}
	for _, d := range object.Spec.Directories {
		directory := filepath.Join(a.Root, d.BasePath, d.Path)
		requested[directory] = true
		status.Directories = append(status.Directories, a.directory(d, directory))
	}
	for _, base := range object.Spec.BasePaths {
		root := filepath.Join(a.Root, base)
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			directory := filepath.Dir(path)
			if err == nil && entry.Name() == markerFile && !requested[directory] {
				if marker := ReadMarker(directory); marker != nil {
					status.Found = append(status.Found, storagev1alpha1.FoundDirectory{
						BasePath: base, Path: strings.TrimPrefix(directory, root+"/"), Marker: *marker,
						FileSystem: "fs-" + a.Machine,
					})
				}
			}
			return nil
		})
	}
	for _, w := range object.Spec.Wipes {
		result := storagev1alpha1.WipeStatus{ID: w.ID, State: storagev1alpha1.WipeDone}
		if err := os.RemoveAll(filepath.Join(a.Root, w.BasePath, w.Path)); err != nil {
			result.State, result.Message = storagev1alpha1.WipeFailed, err.Error()
		}
		status.Wipes = append(status.Wipes, result)
	}
	return status
}

func (a *Agent) directory(d storagev1alpha1.DirectorySpec, path string) storagev1alpha1.DirectoryStatus {
	result := storagev1alpha1.DirectoryStatus{ID: d.ID, FileSystem: "fs-" + a.Machine}
	_, err := os.Stat(path)
	marker := ReadMarker(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !d.Create:
		result.State = storagev1alpha1.DirectoryMissing
	case errors.Is(err, fs.ErrNotExist) || marker == nil && d.Adopt:
		marker = &storagev1alpha1.DirectoryMarker{
			ID: d.ID, SetName: d.SetName, SetUID: d.SetUID, Ordinal: d.Ordinal, MachineID: a.Machine,
			FileSystem: "fs-" + a.Machine,
		}
		result.State = storagev1alpha1.DirectoryReady
		content, err := json.Marshal(marker)
		if err == nil {
			err = errors.Join(os.MkdirAll(path, 0o770), os.WriteFile(filepath.Join(path, markerFile), content, 0o600))
		}
		if err != nil {
			result.State, result.Message = storagev1alpha1.DirectoryFailed, err.Error()
		}
	case marker == nil:
		result.State = storagev1alpha1.DirectoryUnmarked
	case marker.ID != d.ID || marker.SetName != d.SetName:
		result.State = storagev1alpha1.DirectoryConflict
	default:
		result.State = storagev1alpha1.DirectoryReady
	}
	result.Marker = marker
	if a.Quota && d.Quota == storagev1alpha1.QuotaXFS {
		result.LimitBytes = d.Bytes
	}
	return result
}

// ReadMarker returns the marker of a directory, or nil.
func ReadMarker(directory string) *storagev1alpha1.DirectoryMarker {
	content, err := os.ReadFile(filepath.Join(directory, markerFile))
	marker := &storagev1alpha1.DirectoryMarker{}
	if err != nil || json.Unmarshal(content, marker) != nil {
		return nil
	}
	return marker
}
