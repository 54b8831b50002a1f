//go:build linux

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountAttributes are the options of a mount, in the words of mountinfo. rw and relatime are the defaults.
var mountAttributes = map[string]uint64{
	"ro": unix.MOUNT_ATTR_RDONLY, "nosuid": unix.MOUNT_ATTR_NOSUID, "nodev": unix.MOUNT_ATTR_NODEV,
	"noexec": unix.MOUNT_ATTR_NOEXEC, "nodiratime": unix.MOUNT_ATTR_NODIRATIME,
	"noatime": unix.MOUNT_ATTR_NOATIME, "strictatime": unix.MOUNT_ATTR_STRICTATIME,
	"nosymfollow": unix.MOUNT_ATTR_NOSYMFOLLOW, "relatime": 0, "rw": 0,
}

// allAttributes are cleared before the options of a mount are set.
const allAttributes = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV |
	unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NOSYMFOLLOW

// Tree is a copy of a mount that is attached nowhere yet.
type Tree struct{ fd int }

// CloneMount copies the mount of a file or directory, which becomes the root of the copy. Mounts below it are not
// copied. No element of the path can be a symbolic link.
func CloneMount(source string) (*Tree, error) {
	file, err := openat2(unix.AT_FDCWD, source, unix.O_PATH, 0, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: source, Err: err}
	}
	defer func() { _ = unix.Close(file) }()
	fd, err := unix.OpenTree(file, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("clone the mount of %s: %w", source, err)
	}
	return &Tree{fd}, nil
}

// Close removes the copy, unless it is attached.
func (t *Tree) Close() error { return unix.Close(t.fd) }

// SetOptions sets exactly these options.
func (t *Tree) SetOptions(options []string) error {
	attr := unix.MountAttr{Attr_clr: allAttributes}
	for _, option := range options {
		value, known := mountAttributes[option]
		if !known {
			return fmt.Errorf("mount option %q is not known", option)
		}
		attr.Attr_set |= value
	}
	if err := unix.MountSetattr(t.fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("set the mount options %v: %w", options, err)
	}
	return nil
}

// SetPropagation sets the propagation, see Mount.
func (t *Tree) SetPropagation(shared, slave bool) error {
	kinds := []uint64{unix.MS_PRIVATE}
	switch {
	case shared && slave:
		kinds = []uint64{unix.MS_SLAVE, unix.MS_SHARED}
	case shared:
		kinds = []uint64{unix.MS_SHARED}
	case slave:
		kinds = []uint64{unix.MS_SLAVE}
	}
	for _, kind := range kinds {
		attr := unix.MountAttr{Propagation: kind}
		if err := unix.MountSetattr(t.fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return fmt.Errorf("set the propagation of a mount: %w", err)
		}
	}
	return nil
}

// Attach attaches the copy. The last element of the target is not followed if it is a symbolic link.
func (t *Tree) Attach(target string) error {
	return t.attach(unix.AT_FDCWD, target, 0)
}

func (t *Tree) attach(dir int, target string, flags int) error {
	if err := unix.MoveMount(t.fd, "", dir, target, unix.MOVE_MOUNT_F_EMPTY_PATH|flags); err != nil {
		return &fs.PathError{Op: "mount", Path: target, Err: err}
	}
	return nil
}

// Nested is a mount below another one that is replaced.
type Nested struct {
	Point string
	Tree  *Tree
}

// ErrOtherMount means that the mount is not the one that was to be replaced: it was removed or covered meanwhile.
var ErrOtherMount = errors.New("another mount took its place")

// moveMountBeneath attaches a mount beneath the one that is already there (Linux 6.5).
const moveMountBeneath = 0x200

// Replace attaches a copy in place of a mount, and copies of the mounts below it. The old mount may be one that does
// not answer. On Linux 6.5 and later no process sees the directory without a mount, nor the copy without those below
// it. A system call that is already inside the old mount ends there, without the mounts below it.
func (*Inside) Replace(old Mount, tree *Tree, nested ...Nested) error {
	parent, base := filepath.Dir(old.Point), filepath.Base(old.Point)
	if old.Point == parent {
		return fmt.Errorf("replace the mount at %s: it is the root of the mount namespace", old.Point)
	}
	dir, err := openPath(parent)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	if id, err := mountID(dir, base); err != nil {
		return fmt.Errorf("replace the mount at %s: %w", old.Point, err)
	} else if id != old.ID {
		return fmt.Errorf("replace the mount at %s: %w", old.Point, ErrOtherMount)
	}
	// The thread has its own working directory. The system call has no argument for a directory.
	if err := unix.Fchdir(dir); err != nil {
		return fmt.Errorf("enter the directory of %s: %w", old.Point, err)
	}
	beneath := tree.attach(dir, base, moveMountBeneath) == nil
	if beneath {
		// The old mount still covers the copy.
		err = tree.attachBelow(old.Point, nested)
	}
	if err := unix.Unmount(base, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", old.Point, err)
	}
	if !beneath {
		if err := tree.attach(dir, base, 0); err != nil {
			return fmt.Errorf("in place of the mount at %s: %w", old.Point, err)
		}
		err = tree.attachBelow(old.Point, nested)
	}
	return err
}

// attachBelow attaches copies below this one, which is attached at point. A copy can be below another one.
func (t *Tree) attachBelow(point string, nested []Nested) error {
	var failed error
	for _, n := range nested {
		if err := t.attachNested(point, n); err != nil {
			failed = errors.Join(failed, fmt.Errorf("mount %s again: %w", n.Point, err))
		}
	}
	return failed
}

func (t *Tree) attachNested(point string, n Nested) error {
	name, err := filepath.Rel(point, n.Point)
	if err != nil {
		return err
	}
	// The path of the mount point would lead to the mount that covers this one.
	dir, err := openPathAt(t.fd, filepath.Dir(name))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	return n.Tree.attach(dir, filepath.Base(name), 0)
}

// Disconnected reports whether the server of a FUSE mount has ended. A server that does not answer blocks it.
func (*Inside) Disconnected(m Mount) (bool, error) {
	dir, err := openPath(filepath.Dir(m.Point))
	if err != nil {
		return false, err
	}
	defer func() { _ = unix.Close(dir) }()
	base := filepath.Base(m.Point)
	if id, err := mountID(dir, base); err != nil || id != m.ID {
		return false, errors.Join(err, ErrOtherMount)
	}
	var stat unix.Statx_t
	err = unix.Statx(dir, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &stat)
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED), nil
}

func openPath(name string) (int, error) { return openPathAt(unix.AT_FDCWD, name) }

// openPathAt opens a directory. No element of its path can be a symbolic link.
func openPathAt(dir int, name string) (int, error) {
	fd, err := openat2(dir, name, unix.O_PATH|unix.O_DIRECTORY, 0,
		unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return -1, &fs.PathError{Op: "open directory", Path: name, Err: err}
	}
	return fd, nil
}

// mountID returns the id of the mount at a name. It asks no FUSE server.
func mountID(dir int, name string) (uint64, error) {
	var stat unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &stat)
	return stat.Mnt_id, err
}
