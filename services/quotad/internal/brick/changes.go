//go:build linux

package brick

import (
	"errors"
	"io/fs"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// Changes are the times at which the directories with descriptions have changed, in nanoseconds: a description that is
// replaced changes its directory. A map without pointers costs the garbage collector nothing.
type Changes map[decide.InfoDirectory]int64

// unsettled is the time of a directory that has changed a moment ago. The clock of file systems is coarse: a later
// change may have the same time.
const unsettled = 0

// Changes reads the times of all directories with descriptions.
func (b *Brick) Changes() (Changes, error) {
	first, err := b.names(decide.InfoRoot)
	if err != nil {
		return nil, err
	}
	changes := Changes{}
	for _, one := range first {
		if !decide.IsInfoDirectory(one) {
			continue
		}
		if err := b.changesOf(one, changes); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

func (b *Brick) changesOf(one string, changes Changes) error {
	dir, err := b.root.OpenDir(path.Join(decide.InfoRoot, one))
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.File().Readdirnames(-1)
	if err != nil {
		return err
	}
	return dir.Control(func(fd int) error {
		for _, two := range names {
			id, isOne := decide.ParseInfoDirectory(one, two)
			if !isOne {
				continue
			}
			var stat unix.Stat_t
			err := unix.Fstatat(fd, two, &stat, unix.AT_SYMLINK_NOFOLLOW)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			changed := stat.Ctim.Nano()
			if age := time.Since(time.Unix(0, changed)).Abs(); age < time.Second {
				changed = unsettled
			}
			changes[id] = changed
		}
		return nil
	})
}

// Since returns the directories that have changed, those that were created or removed included.
func (c Changes) Since(before Changes) map[decide.InfoDirectory]bool {
	changed := map[decide.InfoDirectory]bool{}
	for directory, now := range c {
		if then, known := before[directory]; !known || then != now || then == unsettled {
			changed[directory] = true
		}
	}
	for directory := range before {
		if _, exists := c[directory]; !exists {
			changed[directory] = true
		}
	}
	return changed
}

// Descriptions returns the directories that the files of a directory below decide.InfoRoot describe.
func (b *Brick) Descriptions(of decide.InfoDirectory) ([]string, error) {
	directory := of.String()
	files, err := b.names(path.Join(decide.InfoRoot, directory))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, file := range files {
		// Other files, such as temporary ones, are of no interest.
		if data, err := decide.DataPath(path.Join(directory, file)); err == nil {
			paths = append(paths, data)
		}
	}
	return paths, nil
}
