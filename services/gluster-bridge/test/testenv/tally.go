//go:build linux

package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/apply"
)

func gone(err error) bool { return apply.IsGone(err) || apply.IsPermanent(err) }

// Found is what exists of the volumes of the storage, by directory.
type Found struct {
	// Directories are the paths of the directories, Metadata the project ids of the metadata, Objects those of the
	// GlusterVolumes.
	Directories map[string]string
	Metadata    map[string]int64
	Objects     map[string]int64
	// Modes are the modes of the directories.
	Modes map[string]fs.FileMode
	// Snapshots are the directories of snapshots and whether they are complete.
	Snapshots map[string]bool
	// Duplicates are project ids that two volumes have.
	Duplicates []string
	// Leftovers are files that no complete call leaves.
	Leftovers []string
}

// Find reads the volumes from a brick and from the API.
func (e *Env) Find(ctx context.Context) (Found, error) {
	f := Found{
		Directories: map[string]string{}, Metadata: map[string]int64{}, Objects: map[string]int64{},
		Modes: map[string]fs.FileMode{}, Snapshots: map[string]bool{},
	}
	brick, projects := e.Cluster.Brick(1, Volume), map[int64]string{}
	err := walk(filepath.Join(brick, "subvol"), 3, func(name string) error {
		f.Directories[filepath.Base(name)] = strings.TrimPrefix(name, brick+"/")
		info, err := os.Stat(name)
		if err == nil {
			f.Modes[filepath.Base(name)] = info.Mode()
		}
		return err
	})
	if err != nil {
		return f, err
	}
	err = walk(filepath.Join(brick, "info"), 3, func(name string) error {
		directory, valid := strings.CutSuffix(filepath.Base(name), ".json")
		if !valid {
			f.Leftovers = append(f.Leftovers, name)
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var info struct {
			ProjectID int64 `json:"project_id"`
		}
		if err := json.Unmarshal(data, &info); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.Metadata[directory] = info.ProjectID
		if other := projects[info.ProjectID]; info.ProjectID != 0 && other != "" {
			f.Duplicates = append(f.Duplicates, other+" and "+directory)
		}
		projects[info.ProjectID] = directory
		return nil
	})
	if err != nil {
		return f, err
	}
	err = walk(filepath.Join(brick, ".weir", "snapshots"), 3, func(name string) error {
		f.Snapshots[filepath.Base(name)] = false
		return nil
	})
	if err != nil {
		return f, err
	}
	err = walk(filepath.Join(brick, ".weir", "snapshot-info"), 3, func(name string) error {
		directory, valid := strings.CutSuffix(filepath.Base(name), ".json")
		if !valid {
			f.Leftovers = append(f.Leftovers, name)
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var info struct {
			Ready bool `json:"ready"`
		}
		_, copied := f.Snapshots[directory]
		err = json.Unmarshal(data, &info)
		f.Snapshots[directory] = info.Ready && copied
		return err
	})
	if err != nil {
		return f, err
	}
	err = walk(filepath.Join(brick, ".weir", "trash"), 1, func(name string) error {
		f.Leftovers = append(f.Leftovers, name)
		return nil
	})
	if err != nil {
		return f, err
	}
	list, err := e.Weir.StorageV1alpha1().GlusterVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return f, err
	}
	for _, gv := range list.Items {
		directory := filepath.Base(gv.Spec.Path)
		if _, again := f.Objects[directory]; again {
			f.Duplicates = append(f.Duplicates, "GlusterVolumes of "+directory)
		}
		f.Objects[directory] = gv.Spec.ProjectID
	}
	return f, nil
}

// walk calls visit with the entries at a depth below a directory.
func walk(dir string, depth int, visit func(name string) error) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		if depth > 1 {
			err = walk(name, depth-1, visit)
		} else if err = visit(name); os.IsNotExist(err) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Check returns an error that names every volume that is not complete. want are the directories that must exist.
func (f Found) Check(want ...string) error {
	var wrong []string
	expected := map[string]bool{}
	for _, directory := range want {
		expected[directory] = true
		_, data := f.Directories[directory]
		project, info := f.Metadata[directory]
		object, gv := f.Objects[directory]
		if !data || !info || !gv || project == 0 || project != object {
			wrong = append(wrong, fmt.Sprintf("lost: %s (directory %t, project in metadata %d, in GlusterVolume %d)", directory,
				data, project, object))
		}
	}
	for kind, names := range map[string][]string{
		"directory": keys(f.Directories), "metadata": keys(f.Metadata), "GlusterVolume": keys(f.Objects),
	} {
		for _, name := range names {
			if !expected[name] {
				wrong = append(wrong, "orphan: "+kind+" of "+name)
			}
		}
	}
	for _, d := range f.Duplicates {
		wrong = append(wrong, "duplicate: "+d)
	}
	for _, l := range f.Leftovers {
		wrong = append(wrong, "leftover: "+l)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	return nil
}

func keys[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}
