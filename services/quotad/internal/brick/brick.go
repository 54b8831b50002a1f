//go:build linux

// Package brick observes and limits the directories of one brick. It writes no file into a brick.
package brick

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// volumeIDAttribute is the attribute in which glusterd stores the UUID of the volume in the root of each brick. It
// tells a brick from the empty mount point of a brick that is not mounted.
const volumeIDAttribute = "trusted.glusterfs.volume-id"

// Brick is an open brick. It keeps the file system busy, so it is closed after each use.
type Brick struct {
	root  *node.Dir
	quota *xfsquota.Quota
	// FileSystem is the UUID of the file system, BlockBytes the size of a block.
	FileSystem string
	BlockBytes int64
}

// Open opens a brick. The problem is not nil if no directory of the brick can be limited.
func Open(v decide.Volume, b decide.Brick) (*Brick, *decide.Problem) {
	root, err := node.OpenDir(b.Path)
	if errors.Is(err, unix.EIO) {
		return nil, unavailable("brick %s cannot be opened: %v; repair its file system and mount it", b.Path, err)
	}
	if err != nil {
		return nil, unavailable("brick %s cannot be opened: %v; mount its file system", b.Path, err)
	}
	opened := &Brick{root: root, quota: xfsquota.New(root)}
	if problem := opened.check(v, b); problem != nil {
		_ = root.Close()
		return nil, problem
	}
	return opened, nil
}

// Close closes the brick.
func (b *Brick) Close() error { return b.root.Close() }

// Root is the root directory of the brick.
func (b *Brick) Root() *node.Dir { return b.root }

// Quota is the project quota of the brick's file system.
func (b *Brick) Quota() *xfsquota.Quota { return b.quota }

func unavailable(format string, args ...any) *decide.Problem {
	return &decide.Problem{State: decide.Unavailable, Message: fmt.Sprintf(format, args...)}
}

func (b *Brick) check(v decide.Volume, of decide.Brick) *decide.Problem {
	id, err := b.volumeID()
	switch {
	case errors.Is(err, unix.ENODATA):
		return unavailable("%s is not a brick: it has no attribute %s; mount the brick's file system, or replace the brick",
			of.Path, volumeIDAttribute)
	case err != nil:
		return unavailable("brick %s: read attribute %s: %v", of.Path, volumeIDAttribute, err)
	case id != v.ID:
		return unavailable("%s is a brick of the volume with the id %s, and not of %s (%s)", of.Path, id, v.Name, v.ID)
	}
	f, err := b.root.FileSystem()
	if err != nil {
		return unavailable("brick %s: %v", of.Path, err)
	}
	switch {
	case f.Type != "xfs":
		return &decide.Problem{State: decide.Unsupported, Message: fmt.Sprintf(
			"brick %s is on %s; only XFS can limit directories without a crawl", of.Path, f.Type)}
	case f.Mount.Shutdown():
		return unavailable("the file system of brick %s has shut down after an error; repair and mount it", of.Path)
	case f.ReadOnly:
		return unavailable("the file system of brick %s is read-only; repair it, or mount it for writing", of.Path)
	case f.UUID == "":
		return unavailable("the file system of brick %s has no UUID", of.Path)
	}
	accounted, enforced, err := b.quota.State()
	if err != nil {
		return unavailable("brick %s: %v", of.Path, err)
	}
	if !accounted || !enforced {
		return &decide.Problem{State: decide.Unsupported, Message: fmt.Sprintf(
			"the file system of brick %s is mounted without prjquota, or the kernel has no XFS quota; add prjquota to "+
				"/etc/fstab and mount it again (remount does not suffice)", of.Path)}
	}
	b.FileSystem = f.UUID
	var stat unix.Statfs_t
	if err := b.root.Control(func(fd int) error { return unix.Fstatfs(fd, &stat) }); err != nil {
		return unavailable("brick %s: statfs: %v", of.Path, err)
	}
	b.BlockBytes = stat.Bsize
	return nil
}

func (b *Brick) volumeID() (string, error) {
	value := make([]byte, 16)
	err := b.root.Control(func(fd int) error {
		n, err := unix.Fgetxattr(fd, volumeIDAttribute, value)
		if err == nil && n != len(value) {
			err = unix.ENODATA
		}
		return err
	})
	s := hex.EncodeToString(value)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], err
}

// Directory observes a directory. isOwn reports whether a project id was given to it; then it is not inherited.
func (b *Brick) Directory(path string, isOwn func(project uint32) bool) (decide.Directory, error) {
	dir, err := b.root.OpenDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return decide.Directory{}, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return decide.Directory{Problem: fmt.Sprintf("%s or a directory above it is a symbolic link or a file; it is not "+
			"followed; remove it from the brick and heal the volume", path)}, nil
	case errors.Is(err, unix.EXDEV):
		return decide.Directory{Problem: path + " or a directory above it is a mount point; unmount it"}, nil
	case err != nil:
		return decide.Directory{}, err
	}
	defer func() { _ = dir.Close() }()
	project, err := xfsquota.ProjectOf(dir.File())
	observed := decide.Directory{Exists: true, Project: project.ID, Inherit: project.Inherit}
	if err != nil || project.ID == 0 || isOwn(project.ID) {
		return observed, err
	}
	above, err := b.root.OpenDir(filepath.Dir(path))
	if err != nil {
		return observed, err
	}
	defer func() { _ = above.Close() }()
	inherited, err := xfsquota.ProjectOf(above.File())
	observed.Inherited = inherited.ID == project.ID
	return observed, err
}

// Usage returns the limit and the use of a project.
func (b *Brick) Usage(project uint32) (decide.Usage, error) {
	u, err := b.quota.Get(project)
	//nolint:gosec // XFS file systems are smaller than 2^63 bytes
	return decide.Usage{LimitBytes: int64(u.LimitBytes), UsedBytes: int64(u.UsedBytes), Files: int64(u.Files)}, err
}
