//go:build linux

package node_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// isolated starts a process in a private mount namespace of its own, as a container has, after the mounts that exist.
func isolated(t *testing.T) node.Namespace {
	t.Helper()
	command := exec.Command("sleep", "600")
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	require.NoError(t, process.Start(command))
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	n, err := node.NamespaceOf(command.Process.Pid)
	require.NoError(t, err)
	return n
}

// tmpfs mounts a file system with a file of that content, until the end of the test.
func tmpfs(t *testing.T, point, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(point, 0o700))
	require.NoError(t, unix.Mount("tmpfs", point, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	require.NoError(t, os.WriteFile(filepath.Join(point, "file"), []byte(content), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(point, "nested"), 0o700))
}

// at returns the mount at a point in a namespace.
func at(t *testing.T, n node.Namespace, point string) (found node.Mount) {
	t.Helper()
	require.NoError(t, n.Do(func(in *node.Inside) error {
		mounts, err := in.Mounts()
		i := slices.IndexFunc(mounts, func(m node.Mount) bool { return m.Point == point })
		if err == nil && i < 0 {
			err = fmt.Errorf("%s is not mounted", point)
		}
		if err == nil {
			found = mounts[i]
		}
		return err
	}))
	return found
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		testkit.Skip(t, "mounts need root: run the test as root")
	}
}

func TestAMountInAnotherNamespaceIsReplaced(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	first, second, below := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "below")
	tmpfs(t, first, "old")
	tmpfs(t, second, "new")
	tmpfs(t, below, "below")
	require.NoError(t, unix.Mount(below, filepath.Join(first, "nested"), "", unix.MS_BIND, ""))
	n := isolated(t)
	// The process keeps the mounts. Here they end.
	require.NoError(t, unix.Unmount(first, unix.MNT_DETACH))
	old := at(t, n, first)

	tree, err := node.CloneMount(second)
	require.NoError(t, err)
	defer func() { _ = tree.Close() }()
	require.NoError(t, tree.SetOptions([]string{"ro", "nosuid", "noatime"}))
	require.NoError(t, tree.SetPropagation(false, false))
	nested, err := node.CloneMount(below)
	require.NoError(t, err)
	defer func() { _ = nested.Close() }()
	require.NoError(t, n.Do(func(in *node.Inside) error {
		return in.Replace(old, tree, node.Nested{Point: filepath.Join(first, "nested"), Tree: nested})
	}))

	replaced := at(t, n, first)
	require.NotEqual(t, old.Device, replaced.Device)
	require.ElementsMatch(t, []string{"ro", "nosuid", "noatime"}, replaced.Options)
	require.False(t, replaced.Shared || replaced.Slave)
	root := fmt.Sprintf("/proc/%d/root", n.PID)
	for name, want := range map[string]string{"file": "new", "nested/file": "below"} {
		data, err := os.ReadFile(filepath.Join(root, first, name))
		require.NoError(t, err)
		require.Equal(t, want, string(data), name)
	}
	_, err = os.Stat(filepath.Join(first, "file"))
	require.ErrorIs(t, err, os.ErrNotExist, "the mounts of this process are unchanged")

	again, err := node.CloneMount(second)
	require.NoError(t, err)
	defer func() { _ = again.Close() }()
	err = n.Do(func(in *node.Inside) error { return in.Replace(old, again) })
	require.ErrorIs(t, err, node.ErrOtherMount)
}

func TestMountsBelowAReplacedMountAppearTogetherWithIt(t *testing.T) {
	t.Parallel()
	needRoot(t)
	if !testkit.IsLinux(6, 5) {
		testkit.Skip(t, "a mount can be attached beneath another one on Linux 6.5 or later")
	}
	dir := t.TempDir()
	first, second, below := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "below")
	tmpfs(t, first, "old")
	tmpfs(t, second, "new")
	tmpfs(t, below, "below")
	require.NoError(t, os.WriteFile(filepath.Join(second, "nested", "file"), []byte("covered"), 0o600))
	point := filepath.Join(first, "nested")
	deeper := filepath.Join(point, "nested")
	require.NoError(t, unix.Mount(below, point, "", unix.MS_BIND, ""))
	n := isolated(t)
	replaceBy := func(source string) {
		// Inside of the namespace the paths show the mounts that replaced others before.
		trees := []*node.Tree{clone(t, source), clone(t, below), clone(t, second)}
		old := at(t, n, first)
		require.NoError(t, n.Do(func(in *node.Inside) error {
			return in.Replace(old, trees[0], node.Nested{Point: point, Tree: trees[1]},
				node.Nested{Point: deeper, Tree: trees[2]})
		}))
		for _, tree := range trees {
			require.NoError(t, tree.Close())
		}
	}
	root := fmt.Sprintf("/proc/%d/root", n.PID)
	for round := range 200 {
		done, found := make(chan struct{}), make(chan error, 1)
		go func() { found <- showsUntil(filepath.Join(root, point, "file"), "below", done) }()
		replaceBy(second)
		close(done)
		require.NoError(t, <-found, "replacement %d", round)
		data, err := os.ReadFile(filepath.Join(root, deeper, "file"))
		require.NoError(t, err)
		require.Equal(t, "new", string(data), "a mount below a mount below the replaced one")
		replaceBy(first)
	}
}

// showsUntil reads a file until done is closed. It fails if the content is another one. The file can be missing: a
// system call that is already inside the old mount sees the directory there, which is empty.
func showsUntil(file, want string, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		if data, err := os.ReadFile(file); err == nil && string(data) != want {
			return fmt.Errorf("%s has the content %q", file, data)
		}
	}
}

// clone copies a mount.
func clone(t *testing.T, point string) *node.Tree {
	t.Helper()
	tree, err := node.CloneMount(point)
	require.NoError(t, err)
	require.NoError(t, tree.SetPropagation(false, false))
	return tree
}

func TestAMountOfAFileIsReplaced(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	first, second, target := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "target")
	tmpfs(t, first, "old")
	tmpfs(t, second, "new")
	require.NoError(t, os.WriteFile(target, nil, 0o600))
	require.NoError(t, unix.Mount(filepath.Join(first, "file"), target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	n := isolated(t)
	tree, err := node.CloneMount(filepath.Join(second, "file"))
	require.NoError(t, err)
	defer func() { _ = tree.Close() }()
	old := at(t, n, target)
	require.NoError(t, n.Do(func(in *node.Inside) error { return in.Replace(old, tree) }))
	data, err := os.ReadFile(filepath.Join(fmt.Sprintf("/proc/%d/root", n.PID), target))
	require.NoError(t, err)
	require.Equal(t, "new", string(data))
}

func TestASymbolicLinkIsNeitherClonedNorReplaced(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	point, link := filepath.Join(dir, "point"), filepath.Join(dir, "link")
	tmpfs(t, point, "data")
	require.NoError(t, os.Symlink(point, link))
	for _, name := range []string{link, filepath.Join(link, "nested")} {
		_, err := node.CloneMount(name)
		require.ErrorIs(t, err, unix.ELOOP, name)
	}
	n := isolated(t)
	old := at(t, n, point)
	old.Point = link
	tree, err := node.CloneMount(point)
	require.NoError(t, err)
	defer func() { _ = tree.Close() }()
	require.ErrorIs(t, n.Do(func(in *node.Inside) error { return in.Replace(old, tree) }), node.ErrOtherMount)
	require.NoError(t, tree.SetOptions(nil))
	require.ErrorContains(t, tree.SetOptions([]string{"loud"}), `mount option "loud" is not known`)
}

func TestMountNamespacesAreFoundOnce(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := isolated(t)
	own, err := node.NamespaceOf(os.Getpid())
	require.NoError(t, err)
	found, err := node.MountNamespaces()
	require.NoError(t, err)
	ids := map[uint64]int{}
	for _, f := range found {
		ids[f.ID]++
	}
	require.Equal(t, 1, ids[n.ID])
	require.Equal(t, 1, ids[own.ID])
	require.ErrorIs(t, node.Namespace{ID: n.ID + 1, PID: n.PID}.Do(nil), unix.ESRCH, "the id of another process")
}

// TestTheMainThreadNeverLeavesItsNamespace: /proc/self describes the main thread.
func TestTheMainThreadNeverLeavesItsNamespace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	n := isolated(t)
	own, err := node.NamespaceOf(os.Getpid())
	require.NoError(t, err)
	for range 500 {
		require.NoError(t, n.Do(func(*node.Inside) error {
			if unix.Gettid() == unix.Getpid() {
				return errors.New("the main thread entered another namespace")
			}
			return nil
		}))
	}
	now, err := node.NamespaceOf(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, own.ID, now.ID)
}
