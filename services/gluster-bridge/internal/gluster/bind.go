//go:build linux

package gluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// Bind mounts the directory source at target. The mount has its options before it becomes visible: there is no moment
// in which a read-only volume is writable. No element of source can be a symbolic link.
func Bind(source, target string, options []string) error {
	tree, err := node.CloneMount(source)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	if err := tree.SetOptions(options); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return tree.Attach(target)
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
	var s unix.Statfs_t
	result := make(chan unix.Statfs_t, 1)
	err := within(ctx, point, func() error {
		var s unix.Statfs_t
		err := unix.Statfs(point, &s)
		result <- s
		return err
	})
	select {
	case s = <-result:
	default:
	}
	if err != nil {
		err = fmt.Errorf("statfs %s: %w", point, err)
	}
	return s, err
}

// within calls f and gives up when ctx ends. A system call on a volume that does not answer cannot be interrupted.
func within(ctx context.Context, point string, f func() error) error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: the volume does not answer: %w", point, context.Cause(ctx))
	}
}
