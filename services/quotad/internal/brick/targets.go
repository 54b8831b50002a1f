//go:build linux

package brick

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// Target reads the size of a directory from its description on the brick. found is false if it has none.
func (b *Brick) Target(v decide.Volume, data string) (t decide.Target, found bool) {
	t = decide.Target{Path: data}
	name, err := decide.InfoPath(data)
	if err != nil {
		return t, false
	}
	content, err := b.description(v, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return t, false
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		t.Problem = name + " is not a regular file; remove it from the brick and heal the volume"
		return t, true
	case err != nil:
		t.Problem = fmt.Sprintf("the size is not known, and a present limit is not changed: %v", err)
		return t, true
	}
	parsed, err := decide.ParseInfo(data, content)
	if err != nil {
		t.Problem = fmt.Sprintf("the size is not known, and a present limit is not changed: %s: %v", name, err)
		return t, true
	}
	return parsed, true
}

func (b *Brick) description(v decide.Volume, name string) ([]byte, error) {
	// With O_NONBLOCK a named pipe does not block. Devices do not exist on bricks that glusterd writes.
	file, err := b.root.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, node.ErrNotRegular)
	}
	if v.Kind == decide.Disperse {
		return attribute(file, name)
	}
	// One read returns all of a regular file. It has changed meanwhile if it is longer.
	content := make([]byte, min(stat.Size(), decide.MaxInfo)+1)
	n, err := file.Read(content)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	case n > decide.MaxInfo:
		return nil, fmt.Errorf("%s: %w: it has more than %d bytes", name, node.ErrTooLarge, decide.MaxInfo)
	}
	return content[:n], nil
}

// attribute reads the description of a directory on a disperse volume.
func attribute(file *os.File, name string) ([]byte, error) {
	value := make([]byte, decide.MaxInfo)
	var n int
	err := node.Control(file, func(fd int) (err error) {
		n, err = unix.Fgetxattr(fd, contract.AttributeGlusterQuota, value)
		return err
	})
	switch {
	case errors.Is(err, unix.ENODATA):
		return nil, fmt.Errorf("%s has no attribute %s, and its content is encoded on the bricks of a disperse volume; "+
			"gluster-bridge sets the attribute, kadalu does not", name, contract.AttributeGlusterQuota)
	case err != nil:
		return nil, fmt.Errorf("%s: read attribute %s: %w", name, contract.AttributeGlusterQuota, err)
	}
	return value[:n], nil
}

// walkSize is the number of directories that Walk passes at a time, except the last ones.
const walkSize = 512

// Walk calls found with the directories that have a description, many at a time: each call has a cost of its own.
func (b *Brick) Walk(found func(paths []string) error) error {
	first, err := b.names(decide.InfoRoot)
	if err != nil {
		return err
	}
	var paths []string
	for _, one := range first {
		if !decide.IsInfoDirectory(one) {
			continue
		}
		second, err := b.names(path.Join(decide.InfoRoot, one))
		if err != nil {
			return err
		}
		for _, two := range second {
			id, isOne := decide.ParseInfoDirectory(one, two)
			if !isOne {
				continue
			}
			of, err := b.Descriptions(id)
			if err != nil {
				return err
			}
			paths = append(paths, of...)
		}
		if len(paths) >= walkSize {
			if err := found(paths); err != nil {
				return err
			}
			paths = nil
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return found(paths)
}

// names returns the entries of a directory, none if it does not exist or is not a directory.
func (b *Brick) names(name string) ([]string, error) {
	dir, err := b.root.OpenDir(name)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	// Unlike Dir.Entries this does not open the directory again, which counts with many directories.
	return dir.File().Readdirnames(-1)
}

// isMissing reports whether a directory does not exist, or is not a directory of the brick.
func isMissing(err error) bool {
	for _, other := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
		if errors.Is(err, other) {
			return true
		}
	}
	return false
}
