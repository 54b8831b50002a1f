//go:build linux

package gluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Tree is the directory tree of persistent volumes on a mounted GlusterFS volume. All paths are resolved beneath the
// root, without symbolic links: a user of one volume cannot lead a call into another one.
type Tree struct {
	root *node.Dir
	// Point is the mount point, Client what is mounted there.
	Point  string
	Client Client
	// Ledger has the metadata of all volumes.
	Ledger *Ledger
	// brick returns what a client of one brick shows about a limit; see limits.go.
	brick func(ctx context.Context, index int, directory string, limit decide.Limit) (bool, error)
}

// OpenTree opens the tree at a mount point.
func OpenTree(point string) (*Tree, error) {
	root, err := node.OpenDir(point)
	if err != nil {
		return nil, err
	}
	return &Tree{root: root, Point: point}, nil
}

// Close closes the tree.
func (t *Tree) Close() error { return t.root.Close() }

// volumeMode lets every user write, as pods run as any user. fsGroup and the application may restrict it.
const volumeMode = 0o777

// Create creates the directory of a volume and its metadata. After a crash the call can be repeated: the metadata is
// written first, so a directory without metadata is never one that Create has left.
func (t *Tree) Create(directory string, info decide.Info) error {
	if err := t.root.MkdirAll(path.Dir(decide.InfoPath(directory)), 0o700); err != nil {
		return err
	}
	if err := t.SetInfo(directory, info); err != nil {
		return err
	}
	return t.Ensure(directory)
}

// Ensure creates the directory of a volume if it does not exist, and completes one that an interrupted call has left:
// a directory is created first and gets its mode then.
func (t *Tree) Ensure(directory string) error {
	data := decide.DataPath(directory)
	if err := t.root.MkdirAll(path.Dir(data), 0o755); err != nil {
		return err
	}
	err := t.root.Mkdir(data, volumeMode|fs.ModeSetgid)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := t.root.OpenDir(data)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Control(func(fd int) error {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_ISGID != 0 {
			return err
		}
		// A directory with data belongs to its users, and so does its mode.
		if entries, err := dir.Entries(1); err != nil || len(entries) > 0 {
			return err
		}
		return unix.Fchmod(fd, volumeMode|unix.S_ISGID)
	})
}

// SetInfo replaces the metadata of a volume.
func (t *Tree) SetInfo(directory string, info decide.Info) error {
	name, content := decide.InfoPath(directory), info.Encode()
	if err := t.root.WriteFile(name, content, 0o600); err != nil || t.Client.Graph.Redundancy == 0 {
		return err
	}
	file, err := t.root.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	err = node.Control(file, func(fd int) error {
		return unix.Fsetxattr(fd, contract.AttributeGlusterQuota, content, 0)
	})
	if err != nil {
		err = fmt.Errorf("set attribute %s of %s: %w", contract.AttributeGlusterQuota, name, err)
	}
	return errors.Join(err, file.Close())
}

// Info returns the metadata of a volume; found is false if it does not exist.
func (t *Tree) Info(directory string) (info decide.Info, found bool, err error) {
	data, err := t.root.ReadFile(decide.InfoPath(directory), decide.MaxInfo)
	if missing(err) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	info, err = decide.ParseInfo(directory, data)
	return info, err == nil, err
}

// Exists reports whether the directory of a volume exists.
func (t *Tree) Exists(directory string) (bool, error) {
	stat, err := t.root.Stat(decide.DataPath(directory))
	if missing(err) {
		return false, nil
	}
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

// MoveAside takes a volume away: its directory is moved to the trash, to be removed later, and its metadata is removed.
// The order keeps the metadata, and so the reserved size, until the data is out of the way.
func (t *Tree) MoveAside(directory, unique string) error {
	if err := t.root.MkdirAll(decide.TrashDir, 0o700); err != nil {
		return err
	}
	return t.move(directory, path.Join(decide.TrashDir, directory+"."+unique))
}

// Archive renames the directory of a volume to archived-<name> and removes its metadata.
func (t *Tree) Archive(directory, unique string) error {
	target := path.Join(path.Dir(decide.DataPath(directory)), decide.ArchivedPrefix+directory)
	if _, err := t.root.Stat(target); err == nil {
		target += "." + unique
	}
	return t.move(directory, target)
}

// Forget removes the metadata of a volume and keeps its data.
func (t *Tree) Forget(directory string) error {
	return ignore(t.root.Remove(decide.InfoPath(directory)))
}

func (t *Tree) move(directory, target string) error {
	if err := ignore(t.rename(decide.DataPath(directory), target)); err != nil {
		return err
	}
	return t.Forget(directory)
}

// rename renames a directory. FUSE clients of GlusterFS do not support RENAME_NOREPLACE, so the target is checked
// first. The lock of the directory keeps other calls away, and a directory that is not empty is never replaced.
func (t *Tree) rename(from, to string) error {
	if _, err := t.root.Stat(to); !missing(err) {
		if err == nil {
			err = fmt.Errorf("rename %s: %s exists: %w", from, to, fs.ErrExist)
		}
		return err
	}
	source, err := t.root.OpenDir(path.Dir(from))
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := t.root.OpenDir(path.Dir(to))
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	return source.Control(func(fromDir int) error {
		return target.Control(func(toDir int) error {
			if err := unix.Renameat(fromDir, path.Base(from), toDir, path.Base(to)); err != nil {
				return fmt.Errorf("rename %s to %s: %w", from, to, err)
			}
			// The journals of the bricks have both changes in one transaction.
			return unix.Fsync(toDir)
		})
	})
}

// EmptyTrash removes everything in the trash.
func (t *Tree) EmptyTrash(ctx context.Context) error {
	trash, err := t.root.OpenDir(decide.TrashDir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = trash.Close() }()
	_, err = trash.RemoveContents(ctx)
	return err
}

// Entry is a volume with valid metadata.
type Entry struct {
	Directory string
	decide.Info
}

// List returns the volumes, by name, and the errors of the metadata files that cannot be used, by directory. A damaged
// file does not hide the other volumes.
func (t *Tree) List(ctx context.Context) (entries []Entry, damaged map[string]error, err error) {
	damaged = map[string]error{}
	var mu sync.Mutex
	err = t.walk(ctx, decide.InfoRoot, infoDepth, func(name string) {
		directory, found := strings.CutSuffix(path.Base(name), ".json")
		if !found || decide.InfoPath(directory) != name || !decide.ValidDirectory(directory) {
			return
		}
		info, found, err := t.Info(directory)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			damaged[directory] = err
		case found:
			entries = append(entries, Entry{directory, info})
		}
	})
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Directory, b.Directory) })
	return entries, damaged, err
}

const (
	// infoDepth is the depth of metadata files below their root.
	infoDepth = 3
	// readers is the number of directories below that root that are read at the same time. Each read waits for bricks.
	readers = 8
)

// walk calls visit with the names of the files at a depth below a directory. Calls of visit can be concurrent.
func (t *Tree) walk(ctx context.Context, dir string, depth int, visit func(name string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	opened, err := t.root.OpenDir(dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	entries, err := opened.Entries(-1)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1)
	if depth == infoDepth {
		group.SetLimit(readers)
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case depth > 1 && entry.IsDir():
			group.Go(func() error { return t.walk(ctx, name, depth-1, visit) })
		case depth == 1 && entry.Type().IsRegular():
			visit(name)
		}
	}
	return group.Wait()
}

// Spool tells a standalone quotad the size of a volume.
func (t *Tree) Spool(directory string, info decide.Info) error {
	if err := t.root.MkdirAll(decide.SpoolDir, 0o700); err != nil {
		return err
	}
	spool := decide.Spool{Path: decide.DataPath(directory), Size: info.Size, ProjectID: info.ProjectID}
	return t.root.WriteFile(decide.SpoolPath(directory), spool.Encode(), 0o600)
}

// Unspool removes the spool file of a volume.
func (t *Tree) Unspool(directory string) error {
	return ignore(t.root.Remove(decide.SpoolPath(directory)))
}

// SetDamagedAside renames metadata that cannot be used, so that it can be written again.
func (t *Tree) SetDamagedAside(directory string) error {
	name := decide.InfoPath(directory)
	return ignore(t.rename(name, fmt.Sprintf("%s.damaged-%d", name, time.Now().UnixNano())))
}

// Owner returns the metadata of the persistent volume that the whole GlusterFS volume is.
func (t *Tree) Owner() (info decide.Info, found bool, err error) {
	data, err := t.root.ReadFile(decide.OwnerFile, decide.MaxInfo)
	if missing(err) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	info, err = decide.ParseInfo("", data)
	return info, err == nil, err
}

// SetOwner writes the metadata of the persistent volume that the whole GlusterFS volume is.
func (t *Tree) SetOwner(info decide.Info) error {
	if err := t.root.MkdirAll(decide.OwnRoot, 0o700); err != nil {
		return err
	}
	return t.root.WriteFile(decide.OwnerFile, info.Encode(), 0o600)
}

// RemoveOwner makes the GlusterFS volume available for another claim.
func (t *Tree) RemoveOwner() error { return ignore(t.root.Remove(decide.OwnerFile)) }

// Size returns the capacity and the free space of the GlusterFS volume.
func (t *Tree) Size() (capacity, available int64, err error) {
	var s unix.Statfs_t
	err = t.root.Control(func(fd int) error { return unix.Fstatfs(fd, &s) })
	if err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", t.root.Name(), err)
	}
	return int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize, nil
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func ignore(err error) error {
	if missing(err) {
		return nil
	}
	return err
}
