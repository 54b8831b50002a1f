//go:build linux

package node_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

func open(t *testing.T, name string, options ...node.Option) *node.Dir {
	t.Helper()
	d, err := node.OpenDir(name, options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestPathsNeverLeaveTheDirectory(t *testing.T) {
	t.Parallel()
	outside, base := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "file"), []byte("secret"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(base, "a/b"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(base, "plain"), nil, 0o600))
	for link, target := range map[string]string{
		"absolute": outside, "relative": "../" + filepath.Base(outside), "a/b/up": "../../..", "inside": "a",
		"process": "/proc/self/root",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(base, link)))
	}
	d := open(t, base)
	for name, want := range map[string]error{
		"..": unix.EXDEV, "../x": unix.EXDEV, "a/../../x": unix.EXDEV, "/etc/passwd": unix.EXDEV,
		"absolute/file": unix.ELOOP, "relative/file": unix.ELOOP, "a/b/up/etc": unix.ELOOP, "inside/b": unix.ELOOP,
		"absolute": unix.ELOOP, "process/etc": unix.ELOOP, "plain/x": unix.ENOTDIR, "missing": unix.ENOENT,
		"a\x00b": unix.EINVAL, "": unix.ENOENT,
	} {
		_, err := d.Open(name, unix.O_RDONLY, 0)
		require.ErrorIs(t, err, want, "open %q", name)
		_, err = d.OpenDir(name)
		require.ErrorIs(t, err, want, "open directory %q", name)
	}
	for _, parent := range []string{"..", "a/../..", "absolute", "relative", "a/b/up", "inside", "process"} {
		name := parent + "/new"
		require.Error(t, d.Mkdir(name, 0o700), name)
		require.Error(t, d.WriteFile(name, nil, 0o600), name)
		require.Error(t, d.Rename("plain", name), name)
		require.Error(t, d.Rename(name, "taken"), name)
		require.Error(t, d.Remove(parent+"/file"), name)
		_, err := d.Stat(parent + "/file")
		require.Error(t, err, name)
	}
	require.FileExists(t, filepath.Join(outside, "file"))
	for _, name := range []string{"", ".", "..", "a/.", "a/"} {
		require.ErrorIs(t, d.Mkdir(name, 0o700), unix.EINVAL, name)
		require.ErrorIs(t, d.Remove(name), unix.EINVAL, name)
	}
}

func TestDirectoryWithASymbolicLinkInItsPathIsNotOpened(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(base, "real/inner"), 0o700))
	require.NoError(t, os.Symlink("real", filepath.Join(base, "link")))
	for _, name := range []string{"link", "link/inner"} {
		_, err := node.OpenDir(filepath.Join(base, name))
		require.ErrorIs(t, err, unix.ELOOP, name)
	}
	for _, name := range []string{"relative", base + "/", base + "/../x", ""} {
		_, err := node.OpenDir(name)
		require.ErrorContains(t, err, "must be absolute", name)
	}
}

func TestFilesAreReplacedAtomically(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	d := open(t, base)
	require.NoError(t, d.WriteFile("file", []byte("one"), 0o640))
	// The remains of a crash do not matter, even if they are a link.
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(base, ".file.tmp")))
	require.NoError(t, d.WriteFile("file", []byte("two"), 0o644))
	data, err := d.ReadFile("file", 3)
	require.NoError(t, err)
	require.Equal(t, "two", string(data))
	stat, err := d.Stat("file")
	require.NoError(t, err)
	require.EqualValues(t, unix.S_IFREG|0o644, stat.Mode)
	entries, err := d.Entries(-1)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file remains")
	require.NoError(t, d.ProbeRead("file"))
}

func TestOnlyRegularFilesOfLimitedSizeAreRead(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	d := open(t, base)
	require.NoError(t, unix.Mkfifo(filepath.Join(base, "pipe"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(base, "dir"), 0o700))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(base, "link")))
	require.NoError(t, os.WriteFile(filepath.Join(base, "large"), []byte("12345"), 0o600))
	for name, want := range map[string]error{
		"pipe": node.ErrNotRegular, "dir": node.ErrNotRegular, "link": unix.ELOOP, "large": node.ErrTooLarge,
		"missing": fs.ErrNotExist,
	} {
		_, err := d.ReadFile(name, 4)
		require.ErrorIs(t, err, want, name)
	}
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	require.NoError(t, d.Mkdir("dir", 0o777|fs.ModeSetgid))
	stat, err := d.Stat("dir")
	require.NoError(t, err)
	require.EqualValues(t, unix.S_IFDIR|unix.S_ISGID|0o777, stat.Mode)
	require.ErrorIs(t, d.Mkdir("dir", 0o700), fs.ErrExist)
}

func TestRenameDoesNotReplace(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, name := range []string{"from", "to", "inner"} {
		require.NoError(t, d.Mkdir(name, 0o700))
	}
	require.ErrorIs(t, d.Rename("from", "to"), fs.ErrExist)
	require.NoError(t, d.Rename("from", "inner/moved"))
	_, err := d.Stat("inner/moved")
	require.NoError(t, err)
}

func TestOneProcessHasTheLock(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	unlock, err := d.Lock()
	require.NoError(t, err)
	_, err = d.Lock()
	require.ErrorIs(t, err, unix.EWOULDBLOCK)
	require.NoError(t, unlock())
	unlock, err = d.Lock()
	require.NoError(t, err)
	require.NoError(t, unlock())
}

func TestContentsAreRemovedWithoutFollowingLinks(t *testing.T) {
	t.Parallel()
	outside, base := t.TempDir(), t.TempDir()
	kept := filepath.Join(outside, "kept")
	require.NoError(t, os.WriteFile(kept, []byte("x"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(base, "link")))
	require.NoError(t, unix.Mkfifo(filepath.Join(base, "pipe"), 0o600))
	// Deeper than the number of directories that are open at once.
	require.NoError(t, os.MkdirAll(filepath.Join(base, strings.Repeat("deep/", 300)), 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(base, ".deep-1"), 0o700))
	for i := range 1500 {
		require.NoError(t, os.WriteFile(filepath.Join(base, fmt.Sprint("file", i)), []byte("12345"), 0o600))
	}
	require.NoError(t, os.Link(filepath.Join(base, "file0"), filepath.Join(outside, "linked")))
	d := open(t, base)
	freed, err := d.RemoveContents(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, freed, int64(1499*512))
	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.FileExists(t, kept)
}

func TestMachineIDIsValidated(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "machine-id")
	_, err := node.MachineID(file)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte("uninitialized\n"), 0o600))
	_, err = node.MachineID(file)
	require.ErrorContains(t, err, `machine id "uninitialized"`)
	require.NoError(t, os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef\n"), 0o600))
	id, err := node.MachineID(file)
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef0123456789abcdef", id)
}
