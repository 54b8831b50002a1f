//go:build linux

package node_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

func TestMountinfoIsParsed(t *testing.T) {
	t.Parallel()
	mounts, err := node.ParseMounts(strings.NewReader(
		`36 35 98:0 /sub\040dir /mnt/da\134ta rw,noatime master:1 propagate_from:2 - ext4 /dev/sd\043a rw,emergency_ro` +
			"\n" + `37 35 0:5 / /run ro,nosuid - tmpfs  rw,size=1k` + "\n"))
	require.NoError(t, err)
	require.Equal(t, []node.Mount{
		{
			ID: 36, ParentID: 35, Device: "98:0", Root: "/sub dir", Point: `/mnt/da\ta`, Type: "ext4", Source: "/dev/sd#a",
			Options: []string{"rw", "noatime"}, SuperOptions: []string{"rw", "emergency_ro"}, Slave: true,
		},
		{
			ID: 37, ParentID: 35, Device: "0:5", Root: "/", Point: "/run", Type: "tmpfs",
			Options: []string{"ro", "nosuid"}, SuperOptions: []string{"rw", "size=1k"},
		},
	}, mounts)
	require.True(t, mounts[0].ReadOnly())
	require.True(t, mounts[1].ReadOnly())
	for _, line := range []string{
		"x", "a b c d e f - g h i", "1 x c d e f - g h i", "1 2 c d e - g h i", "1 2 c d e f - g h",
	} {
		_, err := node.ParseMounts(strings.NewReader(line))
		require.ErrorContains(t, err, "parse mountinfo line", line)
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add("36 35 98:0 / /mnt\\040 rw - ext4 /dev/sda rw\n")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = node.ParseMounts(strings.NewReader(text)) })
}

func TestFileSystemOfADirectory(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"xfs", "ext4"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			point := t.TempDir()
			d := disk.New(t, name)
			d.Mount(point)
			output, err := exec.CommandContext(t.Context(), "blkid", "-s", "UUID", "-o", "value", d.Image).Output()
			require.NoError(t, err)
			f, err := open(t, point).FileSystem()
			require.NoError(t, err)
			require.Equal(t, name, f.Type)
			require.Equal(t, strings.TrimSpace(string(output)), f.UUID)
			require.Equal(t, f.UUID, f.ID())
			require.True(t, f.Is(f.FSID) && f.Is(f.UUID) && !f.Is("") && !f.Is("other"))
			require.True(t, f.MountPoint)
			require.False(t, f.ReadOnly)
			require.Greater(t, f.CapacityBytes, f.AvailableBytes)
			require.Greater(t, f.AvailableBytes, int64(200<<20))

			inner := filepath.Join(point, "inner")
			require.NoError(t, os.Mkdir(inner, 0o700))
			bound := t.TempDir()
			require.NoError(t, unix.Mount(inner, bound, "", unix.MS_BIND, ""))
			t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })
			of, err := open(t, bound).FileSystem()
			require.NoError(t, err)
			require.Equal(t, f.UUID, of.UUID)
			require.False(t, of.MountPoint, "a bind mount of a directory is not a file system of its own")

			d.ReadOnly(point, true)
			f, err = open(t, point).FileSystem()
			require.NoError(t, err)
			require.True(t, f.ReadOnly)
			d.ReadOnly(point, false)
			d.Shutdown(point)
			opened, err := node.OpenDir(point)
			if err == nil {
				f, err = opened.FileSystem()
				require.NoError(t, opened.Close())
			}
			require.True(t, errors.Is(err, unix.EIO) || f.Mount.Shutdown(), "%+v, %v", f.Mount, err)
		})
	}
}

func TestMountPointsBeneathADirectoryAreRefused(t *testing.T) {
	t.Parallel()
	base, outside := t.TempDir(), t.TempDir()
	disk.Need(t)
	require.NoError(t, os.WriteFile(filepath.Join(outside, "kept"), []byte("x"), 0o600))
	bound := filepath.Join(base, "bound")
	require.NoError(t, os.Mkdir(bound, 0o700))
	require.NoError(t, unix.Mount(outside, bound, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })
	d := open(t, base)
	for name, attempt := range map[string]func() error{
		"open":    func() error { _, err := d.Open("bound/kept", unix.O_RDONLY, 0); return err },
		"opendir": func() error { _, err := d.OpenDir("bound"); return err },
		"stat":    func() error { _, err := d.Stat("bound"); return err },
		"mkdir":   func() error { return d.Mkdir("bound/new", 0o700) },
		"remove":  func() error { return d.Remove("bound/kept") },
		"clear":   func() error { _, err := d.RemoveContents(context.Background()); return err },
	} {
		require.ErrorIs(t, attempt(), unix.EXDEV, name)
	}
	require.FileExists(t, filepath.Join(outside, "kept"))
	file, err := open(t, base, node.AllowMounts).Open("bound/kept", unix.O_RDONLY, 0)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestChangesOfMountsAreReported(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	ctx, cancel := context.WithCancel(t.Context())
	changed, returned := make(chan struct{}, 1000), make(chan error, 1)
	go func() {
		returned <- node.WatchMounts(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	point := t.TempDir()
	// The watch may start after the first mount.
	testkit.Eventually(t, 10*time.Second, func(context.Context) error {
		if err := unix.Mount("tmpfs", point, "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := unix.Unmount(point, 0); err != nil {
			return err
		}
		select {
		case <-changed:
			return nil
		default:
			return errors.New("no change was reported")
		}
	})
	cancel()
	require.NoError(t, <-returned)
}

// It does not run beside tests whose mounts would be reported too.
func TestEveryChangeOfAMountIsReported(t *testing.T) { //nolint:paralleltest // see above
	disk.Need(t)
	point := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", point, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(point, unix.MNT_DETACH)) })
	isReadOnly := func() bool {
		mounts, err := node.Mounts()
		require.NoError(t, err)
		i := slices.IndexFunc(mounts, func(m node.Mount) bool { return m.Point == point })
		return i >= 0 && mounts[i].ReadOnly()
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen, returned := make(chan bool, 1000), make(chan error, 1)
	go func() { returned <- node.WatchMounts(ctx, func() { seen <- isReadOnly() }) }()
	for i := range 100 {
		flags := uintptr(unix.MS_REMOUNT)
		if i%2 == 0 {
			flags |= unix.MS_RDONLY
		}
		testkit.Eventually(t, 10*time.Second, func(context.Context) error {
			// The watch may start after the first change.
			if i == 0 {
				_ = unix.Mount("", point, "", unix.MS_REMOUNT, "")
			}
			if i == 0 || isReadOnly() != (i%2 == 0) {
				if err := unix.Mount("", point, "", flags, ""); err != nil {
					return err
				}
			}
			for {
				select {
				case readOnly := <-seen:
					if readOnly == (i%2 == 0) {
						return nil
					}
				default:
					return errors.New("the change was not reported")
				}
			}
		})
	}
	cancel()
	require.NoError(t, <-returned)
}
