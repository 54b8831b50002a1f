//go:build linux

package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/marker"
)

// Observe reads the allowed base paths of a spec.
func (h *Host) Observe(
	ctx context.Context, spec storagev1alpha1.LocalVolumeNodeSpec, allowed []string,
) map[string]disk.BasePath {
	observed, mu, group := map[string]disk.BasePath{}, sync.Mutex{}, sync.WaitGroup{}
	for _, basePath := range disk.BasePaths(spec) {
		if !disk.Allowed(basePath, allowed) {
			continue
		}
		group.Go(func() {
			base, err := exclusive(ctx, h, basePath, func() disk.BasePath {
				return observeBase(basePath, pathsOf(spec, basePath), allowed)
			})
			if err != nil {
				base = disk.BasePath{Fault: disk.FaultIO, Detail: err.Error()}
			}
			mu.Lock()
			defer mu.Unlock()
			observed[basePath] = base
		})
	}
	group.Wait()
	return observed
}

// pathsOf returns the paths that a spec names below a base path.
func pathsOf(spec storagev1alpha1.LocalVolumeNodeSpec, basePath string) []string {
	var paths []string
	for _, d := range spec.Directories {
		if d.BasePath == basePath {
			paths = append(paths, d.Path)
		}
	}
	for _, w := range spec.Wipes {
		if w.BasePath == basePath {
			paths = append(paths, w.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func observeBase(basePath string, paths, allowed []string) disk.BasePath {
	base, err := node.OpenDir(basePath)
	if err != nil {
		return disk.BasePath{Fault: faultOf(err), Detail: err.Error()}
	}
	defer func() { _ = base.Close() }()
	system, err := base.FileSystem()
	if err == nil && system.Mount.Shutdown() {
		err = errors.New("the file system has shut down after an error")
	}
	if err != nil {
		return disk.BasePath{Fault: disk.FaultIO, Detail: err.Error()}
	}
	if id, err := enclosing(basePath, allowed); id != "" || err != nil {
		if err != nil {
			return disk.BasePath{Fault: disk.FaultIO, Detail: err.Error()}
		}
		return disk.BasePath{Fault: disk.FaultNested, Detail: id}
	}
	observed := disk.BasePath{
		Type: system.Type, UUID: system.UUID, FSID: system.FSID, MountPoint: system.MountPoint, ReadOnly: system.ReadOnly,
		CapacityBytes: system.CapacityBytes, AvailableBytes: system.AvailableBytes,
		Directories: map[string]disk.Directory{},
	}
	quota := xfsquota.New(base)
	if system.Type == "xfs" {
		_, observed.Quota, _ = quota.State()
	}
	baseProject, _ := xfsquota.ProjectOf(base.File())
	probed := false
	for _, name := range paths {
		directory, err := observeDirectory(base, name, &probed)
		if err == nil && observed.Quota && directory.Fault == "" {
			err = observeQuota(base, quota, name, baseProject, &directory)
		}
		if errors.Is(err, unix.EIO) {
			return disk.BasePath{Fault: disk.FaultIO, Detail: err.Error()}
		}
		if err != nil {
			directory = disk.Directory{Fault: faultOf(err), Detail: err.Error()}
		}
		observed.Directories[name] = directory
	}
	if observed.Trash, err = observeTrash(base); err != nil {
		return disk.BasePath{Fault: disk.FaultIO, Detail: err.Error()}
	}
	s := search{budget: searchBudget}
	if s.directory(base, "", searchDepth); errors.Is(s.err, unix.EIO) {
		return disk.BasePath{Fault: disk.FaultIO, Detail: s.err.Error()}
	}
	observed.Found = s.found
	return observed
}

// faultOf classifies an error of the kernel.
func faultOf(err error) disk.Fault {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return disk.FaultMissing
	case errors.Is(err, unix.ELOOP):
		return disk.FaultSymlink
	case errors.Is(err, unix.EXDEV):
		return disk.FaultMountPoint
	case errors.Is(err, unix.ENOTDIR):
		return disk.FaultNotDirectory
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EUCLEAN):
		return disk.FaultIO
	}
	return disk.FaultUnreadable
}

// enclosing returns the id of the volume whose directory is the base path or contains it.
func enclosing(basePath string, allowed []string) (string, error) {
	for dir := basePath; disk.Allowed(dir, allowed); dir = path.Dir(dir) {
		opened, err := node.OpenDir(dir)
		if err != nil {
			return "", err
		}
		m, err := marker.Read(opened)
		_ = opened.Close()
		switch {
		case errors.Is(err, marker.ErrInvalid):
			return "the marker of " + dir + " is not valid", nil
		case err != nil:
			return "", err
		case m != nil:
			return m.ID, nil
		}
	}
	return "", nil
}

// observeDirectory reads one directory. The first marker is read from the disk, to notice that the disk has failed.
func observeDirectory(base *node.Dir, name string, probed *bool) (disk.Directory, error) {
	for parent := path.Dir(name); parent != "." && parent != "/"; parent = path.Dir(parent) {
		if id, err := volumeAt(base, parent); id != "" || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk.Directory{Fault: disk.FaultNested, Detail: id}, err
		}
	}
	d, err := base.OpenDir(name)
	if err != nil {
		return disk.Directory{}, err
	}
	defer func() { _ = d.Close() }()
	m, err := marker.Read(d)
	if errors.Is(err, marker.ErrInvalid) {
		return disk.Directory{MarkerError: err.Error()}, nil
	}
	if err != nil {
		return disk.Directory{}, err
	}
	if m != nil && !*probed {
		*probed = true
		if err := d.ProbeRead(disk.MarkerFile); err != nil {
			return disk.Directory{}, err
		}
	}
	empty, err := isEmpty(d)
	return disk.Directory{Marker: m, Empty: empty}, err
}

// volumeAt returns the id of the volume at a path.
func volumeAt(base *node.Dir, name string) (string, error) {
	d, err := base.OpenDir(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = d.Close() }()
	m, err := marker.Read(d)
	if errors.Is(err, marker.ErrInvalid) {
		return "its marker is not valid", nil
	}
	if m == nil {
		return "", err
	}
	return m.ID, nil
}

// isEmpty reports whether a directory has no entries besides the marker and an incomplete write of it.
func isEmpty(d *node.Dir) (bool, error) {
	entries, err := d.Entries(3)
	for _, e := range entries {
		if e.Name() != disk.MarkerFile && e.Name() != "."+disk.MarkerFile+".tmp" {
			return false, err
		}
	}
	return true, err
}

func observeTrash(base *node.Dir) (map[types.UID]disk.Trash, error) {
	trash, err := base.OpenDir(disk.TrashDirectory)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	defer func() { _ = trash.Close() }()
	entries, err := trash.Entries(-1)
	if err != nil {
		return nil, err
	}
	found := map[types.UID]disk.Trash{}
	for _, e := range entries {
		id, moved, ok := disk.ParseTrashName(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		d, err := trash.OpenDir(e.Name())
		if err != nil {
			return nil, err
		}
		inside, err := d.Entries(1)
		_ = d.Close()
		if err != nil {
			return nil, err
		}
		found[id] = disk.Trash{
			Path: path.Join(disk.TrashDirectory, e.Name()), Moved: moved, Empty: len(inside) == 0,
		}
	}
	return found, nil
}

// searchDepth is how deep markers are searched below a base path, and searchBudget how many entries are looked at.
const (
	searchDepth  = 3
	searchBudget = 4096
)

// search finds the directories with a marker.
type search struct {
	budget int
	found  []disk.Found
	err    error
}

// directory searches a directory. It does not search in a directory with a marker. A directory that cannot be read is
// left out.
func (s *search) directory(d *node.Dir, name string, depth int) {
	if name != "" {
		m, err := marker.Read(d)
		if m != nil {
			s.found = append(s.found, disk.Found{Path: name, Marker: *m})
		}
		if m != nil || err != nil || depth == 0 {
			s.err = errors.Join(s.err, err)
			return
		}
	}
	entries, err := d.Entries(s.budget)
	s.err = errors.Join(s.err, err)
	s.budget -= len(entries)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if s.budget <= 0 {
			return
		}
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		inner, err := d.OpenDir(e.Name())
		if err != nil {
			s.err = errors.Join(s.err, err)
			continue
		}
		s.directory(inner, path.Join(name, e.Name()), depth-1)
		_ = inner.Close()
	}
}

// observeQuota reads the project of a directory, and the limit of the project.
func observeQuota(
	base *node.Dir, quota *xfsquota.Quota, name string, baseProject xfsquota.Project, into *disk.Directory,
) error {
	d, err := base.OpenDir(name)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	project, err := xfsquota.ProjectOf(d.File())
	if err != nil || project.ID == 0 || !project.Inherit {
		return err
	}
	usage, err := quota.Get(project.ID)
	if err != nil {
		return fmt.Errorf("read the quota of %s: %w", name, err)
	}
	into.Project, into.Inherited = project.ID, project.ID == baseProject.ID
	into.LimitBytes, into.UsedBytes = int64(usage.LimitBytes), int64(usage.UsedBytes)
	return nil
}
