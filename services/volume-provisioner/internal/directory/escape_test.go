//go:build linux

package directory_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

func TestHostilePathsChangeNothingOutsideOfTheBasePath(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	root := t.TempDir()
	base, outside := filepath.Join(root, "base"), filepath.Join(root, "outside")
	require.NoError(t, os.MkdirAll(filepath.Join(outside, "kept"), 0o700))
	require.NoError(t, os.Mkdir(base, 0o700))
	require.NoError(t, os.Symlink("../outside", filepath.Join(base, "link")))
	require.NoError(t, os.Symlink(base, filepath.Join(root, "linked-base")))
	require.NoError(t, os.Mkdir(filepath.Join(base, "mounted"), 0o700))
	require.NoError(t, unix.Mount(outside, filepath.Join(base, "mounted"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(base, "mounted"), unix.MNT_DETACH) })
	before := list(t, outside)
	for _, path := range []string{
		"..", "../outside/new", "a/../../outside/new", "/", "/outside", "", ".", "link", "link/new", "mounted", "mounted/new",
		"link/../../outside/new", "x\x00y", strings.Repeat("x", 300), ".trash/x", "//new", "new/",
	} {
		a := newAgent(base).add(path, func(d *v1.DirectorySpec) { d.Adopt = true })
		a.node.Spec.Wipes = []v1.WipeSpec{{ID: "w", BasePath: base, Path: path, Marker: "kafka/" + path}}
		s := a.sync(t.Context())
		require.Equal(t, before, list(t, outside), path)
		require.NotEqual(t, v1.DirectoryReady, s.Directories[0].State, path)
		require.NotEqual(t, v1.WipeMoved, s.Wipes[0].State, path)
		require.Equal(t, v1.FileSystemReady, s.FileSystems[0].State)
		t.Logf("%-30.30q %s: %s", path, s.Directories[0].State, s.Directories[0].Message)
	}
	for _, basePath := range []string{
		filepath.Join(root, "linked-base"), "/", "", "..", base + "/../outside", base + "/",
	} {
		a := newAgent(basePath).add("new")
		a.allowed = []string{root}
		s := a.sync(t.Context())
		require.NotEqual(t, v1.FileSystemReady, s.FileSystems[0].State, basePath)
		require.Equal(t, v1.DirectoryFailed, s.Directories[0].State, basePath)
	}
	require.Equal(t, before, list(t, outside))
}

// An attacker swaps elements of the paths for symbolic links and bind mounts while agents create, adopt and delete.
func TestRacingSwapsOfPathsDoNotEscape(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	root := t.TempDir()
	base, outside := filepath.Join(root, "base"), filepath.Join(root, "outside")
	for _, dir := range []string{filepath.Join(outside, "claim/inner"), filepath.Join(base, "ns")} {
		require.NoError(t, os.MkdirAll(dir, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(outside, "claim/inner/kept"), []byte("x"), 0o600))
	before := list(t, outside)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var swaps, syncs, ready, wiped atomic.Int64
	var group sync.WaitGroup
	attack := func(act func()) {
		group.Go(func() {
			for ctx.Err() == nil {
				act()
				swaps.Add(1)
			}
		})
	}
	ns, aside := filepath.Join(base, "ns"), filepath.Join(base, "aside")
	link, mounted := filepath.Join(root, "link"), filepath.Join(base, "mounted")
	require.NoError(t, os.Symlink(outside, link))
	require.NoError(t, os.Mkdir(mounted, 0o700))
	attack(func() { // The parent becomes a symbolic link and a directory again.
		_ = unix.Renameat2(unix.AT_FDCWD, ns, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
	})
	attack(func() { // A directory outside is mounted on a path of a volume.
		if unix.Mount(outside, mounted, "", unix.MS_BIND, "") == nil {
			_ = unix.Unmount(mounted, unix.MNT_DETACH)
		}
	})
	// The attacker keeps the directory open, so that its own links do not lead it outside.
	opened, err := os.Open(ns)
	require.NoError(t, err)
	defer func() { _ = opened.Close() }()
	dir := int(opened.Fd())
	attack(func() { // The claim is replaced, and its marker becomes a link.
		_ = unix.Renameat(dir, "claim", unix.AT_FDCWD, aside)
		_ = unix.Symlinkat(filepath.Join(outside, "claim"), dir, "claim")
		_ = unix.Unlinkat(dir, "claim", 0)
		_ = unix.Renameat(unix.AT_FDCWD, aside, dir, "claim")
		if claim, err := unix.Openat(dir, "claim", unix.O_NOFOLLOW|unix.O_DIRECTORY, 0); err == nil {
			_ = unix.Symlinkat(filepath.Join(outside, "claim/inner/kept"), claim, "..volume-id.tmp")
			_ = unix.Close(claim)
		}
	})
	attack(func() { // The temporary directory of the agent is replaced.
		for _, name := range glob(filepath.Join(base, ".new-*")) {
			_ = os.Rename(name, filepath.Join(root, "stolen"))
			_ = os.Symlink(outside, name)
			_ = os.Remove(name)
			_ = os.RemoveAll(filepath.Join(root, "stolen"))
		}
	})
	adopt := func(d *v1.DirectorySpec) { d.Adopt = true }
	var agents []*agent
	for ctx.Err() == nil {
		a := newAgent(base).add("ns/claim", adopt).add("mounted/claim", adopt).add("mounted/claim/inner", adopt)
		agents = append(agents, a)
		// A sync whose context is cancelled returns before its actions have ended.
		for _, d := range a.sync(t.Context()).Directories {
			if d.State == v1.DirectoryReady {
				ready.Add(1)
			}
		}
		a.node.Spec.Directories = nil
		for _, d := range []string{"ns/claim", "mounted/claim"} {
			a.node.Spec.Wipes = append(a.node.Spec.Wipes, v1.WipeSpec{
				ID: "w", BasePath: base, Path: d, Marker: "kafka/" + d,
			})
			for range 2 {
				for _, w := range a.sync(t.Context()).Wipes {
					if w.State == v1.WipeDone || w.State == v1.WipeMoved {
						wiped.Add(1)
					}
				}
			}
			a.node.Spec.Wipes, a.node.Status = nil, v1.LocalVolumeNodeStatus{}
			a.sync(t.Context())
		}
		syncs.Add(1)
	}
	group.Wait()
	for _, a := range agents {
		testkit.Eventually(t, 10*time.Second, func(context.Context) error {
			if a.running() {
				return errors.New("an action does not end")
			}
			return nil
		})
	}
	_ = unix.Unmount(mounted, unix.MNT_DETACH)
	require.Equal(t, before, list(t, outside))
	t.Logf("%d swaps during %d rounds: %d directories ready, %d deletions, 0 escapes",
		swaps.Load(), syncs.Load(), ready.Load(), wiped.Load())
	require.Positive(t, ready.Load())
}

func glob(pattern string) []string { names, _ := filepath.Glob(pattern); return names }

// list returns the paths and modes below a directory.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			all = append(all, info.Mode().String()+" "+path)
		}
		return err
	}))
	return all
}
