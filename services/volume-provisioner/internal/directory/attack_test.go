//go:build linux

package directory_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// world is a base path and what is around it. The agent may change only what is at parent/base, or was there.
//
//	parent/base    the base path
//	aside          things of the attacker: links to outside, another base path, what it has taken from the base path
//	outside        must never change. It has the structure of a base path and of its parent
//	other          the same on another file system
//	link           a link to parent
type world struct {
	root string
	dir  *node.Dir
	// before is what outside returns as long as nothing has escaped.
	before map[string]string
	// mounting is locked while something is mounted: a directory that is a mount point must not become the base path.
	mounting sync.RWMutex
}

// secret is the name of the set in the markers outside. The agent must not read them.
const secret = "outside-of-the-base-path"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{root: t.TempDir()}
	other := filepath.Join(w.root, "other")
	require.NoError(t, os.Mkdir(other, 0o700))
	require.NoError(t, unix.Mount("tmpfs", other, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(other, unix.MNT_DETACH)) })
	for _, tree := range []string{"outside", "other"} {
		for _, dir := range []string{"", "base", "ns", "base/ns"} {
			for _, volume := range []string{"claim", "claim/inner", "mounted/claim", ".trash/1-w0", ".trash/1-w1"} {
				full := filepath.Join(w.root, tree, dir, volume)
				require.NoError(t, os.MkdirAll(full, 0o751))
				marker := fmt.Sprintf(`{"id": "kafka/%s", "setName": %q}`, volume, secret)
				for name, content := range map[string]string{".volume-id": marker, "kept": "records", "..volume-id.tmp": "x"} {
					require.NoError(t, os.WriteFile(filepath.Join(full, name), []byte(content), 0o640))
				}
			}
		}
	}
	require.NoError(t, unix.Mkfifo(filepath.Join(w.root, "outside", "pipe"), 0o600))
	// Hard links to it change its number of links.
	require.NoError(t, os.WriteFile(filepath.Join(w.root, "outside", "linked"), []byte("{}"), 0o640))
	require.NoError(t, os.Symlink("parent", filepath.Join(w.root, "link")))
	dir, err := node.OpenDir(w.root)
	require.NoError(t, err)
	t.Cleanup(func() { _ = dir.Close() })
	w.dir = dir
	w.reset(t)
	w.before = w.outside(t)
	return w
}

func (w *world) base() string { return filepath.Join(w.root, "parent", "base") }

// reset creates the base path and the things of the attacker again.
func (w *world) reset(t testing.TB) {
	t.Helper()
	for _, name := range []string{"parent", "aside"} {
		if dir, err := w.dir.OpenDir(name); err == nil {
			_, err = dir.RemoveContents(context.Background())
			require.NoError(t, errors.Join(err, dir.Close()))
		}
		if err := w.dir.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
		}
	}
	aside := filepath.Join(w.root, "aside")
	require.NoError(t, errors.Join(
		os.MkdirAll(filepath.Join(w.base(), "ns", "claim"), 0o755), os.Mkdir(filepath.Join(w.base(), "mounted"), 0o755),
		os.MkdirAll(filepath.Join(aside, "base", "ns"), 0o755), os.Mkdir(filepath.Join(aside, "empty"), 0o755),
		os.Symlink(filepath.Join(w.root, "outside"), filepath.Join(aside, "absolute")),
		os.Symlink("../outside", filepath.Join(aside, "relative")),
		os.Symlink(filepath.Join(w.root, "outside", "claim"), filepath.Join(aside, "claim")),
		os.Symlink(filepath.Join(w.root, "other"), filepath.Join(aside, "other"))))
}

// outside describes all that must not change: the trees outside of the base path, and the names around it.
func (w *world) outside(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, tree := range []string{"outside", "other"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(w.root, tree), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var s unix.Stat_t
			if err := unix.Lstat(name, &s); err != nil {
				return err
			}
			content := []byte(nil)
			if d.Type().IsRegular() {
				if content, err = os.ReadFile(name); err != nil {
					return err
				}
			}
			text := fmt.Sprintf("mode %o, owner %d:%d, written %v, content %x", s.Mode, s.Uid, s.Gid, s.Mtim,
				sha256.Sum256(content))
			if d.Name() != "linked" {
				text += fmt.Sprintf(", %d links, changed %v", s.Nlink, s.Ctim)
			}
			all[name] = text
			return nil
		}))
	}
	for _, dir := range []string{"", "aside"} {
		entries, err := os.ReadDir(filepath.Join(w.root, dir))
		require.NoError(t, err)
		for _, e := range entries {
			// A directory that the attacker has moved out of the base path does not count.
			if name := path.Join(dir, e.Name()); !strings.HasPrefix(name, "aside/taken-") {
				all[name] = ""
			}
		}
	}
	return all
}

// targets are the paths that the attacker replaces.
var targets = []string{
	"parent/base", "parent", "parent/base/ns", "parent/base/ns/claim", "parent/base/claim", "parent/base/mounted",
	"parent/base/mounted/claim", "parent/base/.trash", "parent/base/ns/claim/inner", "parent/base/.new-*",
	"parent/base/.trash/*", "parent/base/ns/claim/.volume-id", "parent/base/claim/..volume-id.tmp",
}

// substitutes are the things in aside that targets are exchanged with.
var substitutes = []string{"absolute", "relative", "claim", "other", "base", "empty"}

// attacker replaces paths while the agent works. It resolves its own paths safely: it must not escape itself.
type attacker struct {
	*world
	id    int
	swaps *atomic.Int64
	steps []step
	stop  chan struct{}
}

// step is one kind of attack on a target.
type step struct{ kind, target, with int }

const (
	kindsOfAttacks = 9
	mounts         = 3
)

// run repeats the attacks until stop is closed.
func (a *attacker) run() {
	for {
		for _, s := range a.steps {
			select {
			case <-a.stop:
				return
			default:
			}
			if a.attack(s) == nil {
				a.swaps.Add(1)
			}
		}
	}
}

// in calls f with the open parent directory of a target and the last element.
func (a *attacker) in(target string, f func(parent int, name string) error) error {
	dir, pattern := path.Split(target)
	opened := a.dir
	if dir != "" {
		var err error
		if opened, err = a.dir.OpenDir(path.Clean(dir)); err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
	}
	names := []string{pattern}
	if strings.Contains(pattern, "*") {
		entries, err := opened.Entries(10)
		if err != nil {
			return err
		}
		names = nil
		for _, e := range entries {
			if matches, _ := path.Match(pattern, e.Name()); matches {
				names = append(names, e.Name())
			}
		}
	}
	err := fs.ErrNotExist
	for _, name := range names {
		err = opened.Control(func(parent int) error { return f(parent, name) })
	}
	return err
}

// attack performs a step once, and restores what was there if the step does not say otherwise.
func (a *attacker) attack(s step) error {
	target, with := targets[s.target%len(targets)], substitutes[s.with%len(substitutes)]
	taken := fmt.Sprintf("taken-%d", a.id)
	if s.kind%kindsOfAttacks == mounts {
		a.mounting.Lock()
		defer a.mounting.Unlock()
	} else {
		a.mounting.RLock()
		defer a.mounting.RUnlock()
	}
	return a.in(target, func(parent int, name string) error {
		return a.in("aside/"+with, func(aside int, substitute string) error {
			exchange := func() error { return unix.Renameat2(parent, name, aside, substitute, unix.RENAME_EXCHANGE) }
			switch s.kind % kindsOfAttacks {
			case 0: // It becomes a link or another directory, until the next exchange.
				return exchange()
			case 1: // It becomes that for a moment.
				err := exchange()
				return errors.Join(err, exchange())
			case 2: // It is taken away, a link is in its place for a moment, and it comes back.
				err := unix.Renameat(parent, name, aside, taken)
				_ = unix.Symlinkat(filepath.Join(a.root, "outside", name), parent, name)
				_ = unix.Unlinkat(parent, name, 0)
				return errors.Join(err, unix.Renameat2(aside, taken, parent, name, unix.RENAME_NOREPLACE))
			case mounts: // A directory outside is mounted on it for a moment, up to the duration of some reconciles.
				return a.mount(parent, name, with, time.Duration(s.with%6)*2*time.Millisecond)
			case 4: // A file in it becomes a link to a file outside.
				return plant(parent, name, a.linked(".volume-id"))
			case 5:
				return plant(parent, name, a.linked("..volume-id.tmp"))
			case 6: // A hard link to a file outside is in its place.
				_ = unix.Unlinkat(parent, name, 0)
				return unix.Linkat(unix.AT_FDCWD, filepath.Join(a.root, "outside", "linked"), parent, name, 0)
			case 7: // It moves up and down in the base path, so that .. has another meaning.
				return a.in("parent/base/claim", func(base int, claim string) error {
					return unix.Renameat2(parent, name, base, claim, unix.RENAME_EXCHANGE)
				})
			}
			// It is created again, with a marker that is a pipe.
			_ = unix.Unlinkat(parent, name, 0)
			err := unix.Mkdirat(parent, name, 0o755)
			return errors.Join(err, plant(parent, name, func(dir int) error { return unix.Mkfifoat(dir, ".volume-id", 0o600) }))
		})
	})
}

// mount mounts a directory outside on a target, and unmounts it after some time. On the base path and above it is
// always one of another file system: a bind mount there is how an administrator provides a base path.
func (a *attacker) mount(parent int, name, with string, keep time.Duration) error {
	source := filepath.Join(a.root, "outside")
	if with == "other" || name == "base" || name == "parent" {
		source = filepath.Join(a.root, "other")
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(tree) }()
	target, err := unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(target) }()
	if err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return err
	}
	timer := time.NewTimer(keep)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.stop:
	}
	return unix.Unmount(fmt.Sprintf("/proc/self/fd/%d", tree), unix.MNT_DETACH)
}

// plant calls f with a target that is opened as a directory.
func plant(parent int, name string, f func(dir int) error) error {
	dir, err := unix.Openat(parent, name, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	return f(dir)
}

// linked replaces a file by a link to a file outside.
func (a *attacker) linked(file string) func(dir int) error {
	return func(dir int) error {
		_ = unix.Unlinkat(dir, file, 0)
		return unix.Symlinkat(filepath.Join(a.root, "outside", "claim", "kept"), dir, file)
	}
}

// attackers runs several attackers until the returned function is called.
func (w *world) attackers(swaps *atomic.Int64, all ...[]step) (stop func()) {
	stopped := make(chan struct{})
	var group sync.WaitGroup
	for i, steps := range all {
		if len(steps) > 0 {
			a := &attacker{w, i, swaps, steps, stopped}
			group.Go(a.run)
		}
	}
	return func() {
		close(stopped)
		group.Wait()
	}
}
