//go:build linux

package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/marker"
)

// newPrefix is the prefix of the temporary names of directories that are being created.
const newPrefix = ".new-"

// Act performs actions and returns their results. The actions of different base paths run at the same time.
func (h *Host) Act(ctx context.Context, actions []disk.Action) map[disk.Key]disk.Result {
	byBase := map[string][]disk.Action{}
	for _, a := range actions {
		byBase[a.BasePath] = append(byBase[a.BasePath], a)
	}
	batches := make(chan map[disk.Key]disk.Result, len(byBase))
	for basePath, batch := range byBase {
		go func() {
			results, err := exclusive(ctx, h, basePath, func() map[disk.Key]disk.Result {
				return h.actOn(ctx, basePath, batch)
			})
			if err != nil {
				results = failAll(batch, err)
			}
			batches <- results
		}()
	}
	all := map[disk.Key]disk.Result{}
	for range byBase {
		for key, result := range <-batches {
			all[key] = result
		}
	}
	return all
}

func failAll(actions []disk.Action, err error) map[disk.Key]disk.Result {
	results := map[disk.Key]disk.Result{}
	for _, a := range actions {
		results[a.Key] = disk.Result{Error: err.Error()}
	}
	return results
}

// actOn performs the actions of one base path. No other agent process works there at the same time.
func (h *Host) actOn(ctx context.Context, basePath string, actions []disk.Action) map[disk.Key]disk.Result {
	base, err := node.OpenDir(basePath)
	if err != nil {
		return failAll(actions, err)
	}
	defer func() { _ = base.Close() }()
	unlock, err := base.Lock()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another agent process works in the base path; it is tried again")
	}
	if err != nil {
		return failAll(actions, err)
	}
	defer func() { _ = unlock() }()
	system, err := base.FileSystem()
	if err != nil {
		return failAll(actions, err)
	}
	results := map[disk.Key]disk.Result{}
	for _, a := range actions {
		if !system.Is(a.FileSystem) {
			results[a.Key] = disk.Result{Error: "the base path is on another file system now"}
			continue
		}
		if a.Kind == disk.Empty {
			results[a.Key] = h.empty(ctx, base, a)
			continue
		}
		result := disk.Result{}
		if err := h.act(ctx, base, a); err != nil {
			result.Error = err.Error()
		}
		results[a.Key] = result
	}
	return results
}

func (h *Host) act(ctx context.Context, base *node.Dir, a disk.Action) error {
	a.Marker.Created = metav1.NewTime(h.Now())
	switch a.Kind {
	case disk.Create:
		return create(base, a)
	case disk.Mark:
		return mark(base, a)
	case disk.Move:
		return move(base, a)
	case disk.Forget:
		return base.Remove(a.Path)
	case disk.Limit:
		return limit(ctx, base, a)
	case disk.Unlimit:
		return unlimit(base, a)
	}
	return fmt.Errorf("action %s is not known", a.Kind)
}

// create creates a directory with its marker. It has a temporary name until it is complete: after a crash there is no
// directory, or one with its marker.
func create(base *node.Dir, a disk.Action) error {
	mode, err := modeOf(a.Directory.Mode)
	if err != nil {
		return err
	}
	if err := removeIncomplete(base); err != nil {
		return err
	}
	if err := parents(base, path.Dir(a.Path)); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(a.Directory.ID))
	temporary := newPrefix + hex.EncodeToString(sum[:8])
	if err := base.Mkdir(temporary, 0o700); err != nil {
		return err
	}
	d, err := base.OpenDir(temporary)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := complete(d, a, mode); err != nil {
		return errors.Join(err, removeIncomplete(base))
	}
	return base.Rename(temporary, a.Path)
}

// complete writes the marker, the owner and the mode of a new directory to disk.
func complete(d *node.Dir, a disk.Action, mode fs.FileMode) error {
	if err := marker.Write(d, a.Marker); err != nil {
		return err
	}
	// Without CAP_FSETID, the setgid bit can be set only while the directory has a group of the process. chown keeps it.
	if err := d.File().Chmod(mode); err != nil {
		return err
	}
	if err := d.File().Chown(int(a.Directory.UID), int(a.Directory.GID)); err != nil {
		return err
	}
	info, err := d.File().Stat()
	if err != nil {
		return err
	}
	if got := info.Mode() &^ fs.ModeDir; got != mode {
		return fmt.Errorf("the directory has mode %s after it was set to %s", got, mode)
	}
	return d.Sync()
}

// removeIncomplete removes what a crash has left. Such a directory contains at most a marker.
func removeIncomplete(base *node.Dir) error {
	entries, err := base.Entries(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newPrefix) {
			continue
		}
		for _, name := range []string{"." + disk.MarkerFile + ".tmp", disk.MarkerFile, ""} {
			err := base.Remove(path.Join(e.Name(), name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove an incomplete directory: %w; move it away", err)
			}
		}
	}
	return nil
}

// parents creates the directories above a volume's directory.
func parents(base *node.Dir, name string) error {
	if name == "." {
		return nil
	}
	if err := parents(base, path.Dir(name)); err != nil {
		return err
	}
	if err := base.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// modeOf parses an octal mode. The default is that of the API.
func modeOf(s string) (fs.FileMode, error) {
	if s == "" {
		s = "0770"
	}
	bits, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("mode %q must be octal, for example 0770", s)
	}
	mode := fs.FileMode(bits).Perm()
	if bits&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	return mode, nil
}

// mark writes the marker of an existing directory. Owner and mode are kept.
func mark(base *node.Dir, a disk.Action) error {
	d, err := base.OpenDir(a.Path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	empty, err := isEmpty(d)
	if err != nil {
		return err
	}
	if !empty && !a.Directory.Adopt {
		return errors.New("the directory is not empty any more")
	}
	return marker.Write(d, a.Marker)
}

// move moves a directory to the trash. It moves it back if another directory has taken its place since the marker was
// read.
func move(base *node.Dir, a disk.Action) error {
	id, err := volumeAt(base, a.Path)
	if err != nil {
		return err
	}
	if id != a.ID {
		return fmt.Errorf("the marker names volume %q and not %q", id, a.ID)
	}
	if err := base.Mkdir(disk.TrashDirectory, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := base.Rename(a.Path, a.Target); err != nil {
		return err
	}
	if id, err := volumeAt(base, a.Target); err != nil || id != a.ID {
		return errors.Join(errors.New("another directory has taken its place"), err, base.Rename(a.Target, a.Path))
	}
	return nil
}

// empty starts to remove the contents of a directory in the trash. The directory stays the same one if the base path is
// replaced in the meantime.
func (h *Host) empty(ctx context.Context, base *node.Dir, a disk.Action) disk.Result {
	d, err := base.OpenDir(a.Path)
	if err != nil {
		return disk.Result{Error: err.Error()}
	}
	result, started := h.start(a.Key, func() disk.Result {
		defer func() { _ = d.Close() }()
		return removeContents(ctx, d)
	})
	if !started {
		_ = d.Close()
	}
	return result
}

func removeContents(ctx context.Context, d *node.Dir) disk.Result {
	// The marker goes first: a directory that is moved back half-way is not used without a decision of the user.
	err := d.Remove(disk.MarkerFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	result := disk.Result{}
	if err == nil {
		result.FreedBytes, err = d.RemoveContents(ctx)
	}
	if err != nil {
		result.Error = err.Error()
	}
	return result
}
