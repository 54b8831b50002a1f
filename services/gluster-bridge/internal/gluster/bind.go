//go:build linux

package gluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attributes are the options of bind mounts.
var attributes = map[string]uint64{
	"ro": unix.MOUNT_ATTR_RDONLY, "nosuid": unix.MOUNT_ATTR_NOSUID, "nodev": unix.MOUNT_ATTR_NODEV,
	"noexec": unix.MOUNT_ATTR_NOEXEC, "nodiratime": unix.MOUNT_ATTR_NODIRATIME,
	"noatime": unix.MOUNT_ATTR_NOATIME, "relatime": unix.MOUNT_ATTR_RELATIME, "rw": 0,
}

// Bind mounts the directory source at target. The mount has its options before it becomes visible: there is no moment
// in which a read-only volume is writable. No element of source below the file system's root can be a symbolic link.
func Bind(source, target string, options []string) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	dir, err := unix.Openat2(unix.AT_FDCWD, source, &how)
	if err != nil {
		return fmt.Errorf("open %s: %w", source, err)
	}
	defer func() { _ = unix.Close(dir) }()
	tree, err := unix.OpenTree(dir, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("clone the mount of %s: %w", source, err)
	}
	defer func() { _ = unix.Close(tree) }()
	attr := unix.MountAttr{}
	for _, option := range options {
		attr.Attr_set |= attributes[option]
		if option == "noatime" || option == "relatime" {
			attr.Attr_clr |= unix.MOUNT_ATTR__ATIME
		}
	}
	if attr.Attr_set != 0 {
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return fmt.Errorf("set the mount options %v of %s: %w", options, target, err)
		}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}

// Unbind removes all mounts of a directory and keeps the directory, as kubelet does not expect it to disappear.
func Unbind(target string) error {
	for {
		err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(target, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
}

// Statfs returns the size of the file system at a path. It gives up when ctx ends.
func Statfs(ctx context.Context, point string) (unix.Statfs_t, error) {
	type answer struct {
		s   unix.Statfs_t
		err error
	}
	result := make(chan answer, 1)
	go func() {
		var a answer
		a.err = unix.Statfs(point, &a.s)
		result <- a
	}()
	select {
	case a := <-result:
		if a.err != nil {
			return a.s, fmt.Errorf("statfs %s: %w", point, a.err)
		}
		return a.s, nil
	case <-ctx.Done():
		return unix.Statfs_t{}, fmt.Errorf("statfs %s: the volume does not answer: %w", point, context.Cause(ctx))
	}
}
