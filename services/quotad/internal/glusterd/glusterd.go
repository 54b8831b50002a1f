//go:build linux

// Package glusterd reads the volumes and bricks of a node from the files of glusterd. It does not need glusterd to run.
package glusterd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// maxFile is the largest file of glusterd that is read.
const maxFile = 1 << 20

// ManagedOption is the option of a volume that makes a standalone quotad limit its directories.
const ManagedOption = "user.weir.dev/managed"

// managedFile lists the volumes for which kadalu's daemon sets limits.
const managedFile = "kadalustorage.info"

// Node is what glusterd knows about its node.
type Node struct {
	// ID is the UUID of the node.
	ID string
	// Volumes are the volumes with bricks on the node.
	Volumes []decide.Volume
	// Problems are the errors of volumes that cannot be read, whose names are Unreadable. The others are complete.
	Problems   []error
	Unreadable []string
	// ListUnreadable is true if kadalustorage.info cannot be read: the volumes that it lists are not known.
	ListUnreadable bool
}

// Read reads the files of glusterd in a directory, usually /var/lib/glusterd.
func Read(dir string) (Node, error) {
	root, err := node.OpenDir(dir, node.AllowMounts)
	if err != nil {
		return Node{}, fmt.Errorf("read the files of glusterd: %w", err)
	}
	defer func() { _ = root.Close() }()
	info, err := properties(root, "glusterd.info")
	if err != nil {
		return Node{}, err
	}
	n := Node{ID: info.value["UUID"]}
	if n.ID == "" {
		return Node{}, fmt.Errorf("%s has no UUID; start glusterd once", filepath.Join(dir, "glusterd.info"))
	}
	managed, err := managedVolumes(root)
	if err != nil {
		n.Problems = append(n.Problems, err)
		n.ListUnreadable = true
	}
	vols, err := root.OpenDir("vols")
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return Node{}, err
	}
	defer func() { _ = vols.Close() }()
	entries, err := vols.Entries(-1)
	if err != nil {
		return Node{}, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		v, err := volume(vols, entry.Name(), n.ID)
		if err != nil {
			n.Problems = append(n.Problems, fmt.Errorf("volume %s: %w", entry.Name(), err))
			n.Unreadable = append(n.Unreadable, entry.Name())
			delete(managed, entry.Name())
			continue
		}
		v.Managed = v.Managed || managed[v.Name]
		delete(managed, v.Name)
		if len(v.Local) > 0 {
			n.Volumes = append(n.Volumes, v)
		}
	}
	for name := range managed {
		n.Problems = append(n.Problems,
			fmt.Errorf("%s lists volume %s, which does not exist on this node", managedFile, name))
	}
	return n, nil
}

func managedVolumes(root *node.Dir) (map[string]bool, error) {
	content, err := root.ReadFile(managedFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := decide.ParseManaged(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(root.Name(), managedFile), err)
	}
	managed := map[string]bool{}
	for _, name := range names {
		managed[name] = true
	}
	return managed, nil
}

// volume reads vols/<name>/info and the files of its bricks.
func volume(vols *node.Dir, name, nodeID string) (decide.Volume, error) {
	info, err := properties(vols, filepath.Join(name, "info"))
	if err != nil {
		return decide.Volume{}, err
	}
	v := decide.Volume{
		Name: name, ID: info.value["volume-id"],
		Kind:    decide.Kind(info.number("type", -1)),
		Bricks:  info.number("count", 0),
		Sharded: isOn(info.value["features.shard"]), Managed: isOn(info.value[ManagedOption]),
		Subvolume: info.number("sub_count", 0), Redundancy: info.number("redundancy_count", 0),
	}
	if v.Kind == decide.Distribute && v.Subvolume == 0 {
		v.Subvolume = 1
	}
	arbiters := info.number("arbiter_count", 0)
	if info.err != nil {
		return decide.Volume{}, info.err
	}
	if v.ID == "" || v.Bricks != len(info.bricks) {
		return decide.Volume{}, fmt.Errorf("its info file has the id %q and %d of %d bricks; glusterd may be writing it",
			v.ID, len(info.bricks), v.Bricks)
	}
	for i, file := range info.bricks {
		brick, err := properties(vols, filepath.Join(name, "bricks", file))
		if err != nil {
			return decide.Volume{}, err
		}
		if brick.value["uuid"] != nodeID {
			continue
		}
		path := brick.value["real_path"]
		if path == "" {
			path = brick.value["path"]
		}
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
			return decide.Volume{}, fmt.Errorf("brick %s has the path %q", file, path)
		}
		v.Local = append(v.Local, decide.Brick{
			Host: brick.value["hostname"], Path: path,
			Arbiter: arbiters > 0 && v.Subvolume > 0 && i%v.Subvolume >= v.Subvolume-arbiters,
		})
	}
	return v, nil
}

// isOn reports whether an option is set, in the words that glusterd accepts.
func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "on", "yes", "true", "enable", "1":
		return true
	}
	return false
}

// file is the content of a file of glusterd: lines of key=value.
type file struct {
	value map[string]string
	// bricks are the values of brick-0, brick-1 and so on: the names of the files of the bricks.
	bricks []string
	err    error
}

// number returns the number of a key. It records an error if the value is not a number.
func (f *file) number(key string, missing int) int {
	text, found := f.value[key]
	if !found {
		return missing
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		f.err = errors.Join(f.err, fmt.Errorf("%s=%q is not a valid number", key, text))
	}
	return n
}

func properties(dir *node.Dir, name string) (*file, error) {
	content, err := dir.ReadFile(name, maxFile)
	if err != nil {
		return nil, err
	}
	f, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir.Name(), name), err)
	}
	return f, nil
}

func parse(content []byte) (*file, error) {
	f := &file{value: map[string]string{}}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxFile)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), "=")
		if !found {
			// glusterd replaces its files atomically. Other lines are of no interest.
			continue
		}
		if index, isBrick := strings.CutPrefix(key, "brick-"); isBrick {
			if i, err := strconv.Atoi(index); err == nil {
				if i != len(f.bricks) || value == "" || strings.Contains(value, "/") || value == "." || value == ".." {
					return nil, fmt.Errorf("%s=%q is not a valid brick", key, value)
				}
				f.bricks = append(f.bricks, value)
				continue
			}
		}
		f.value[key] = value
	}
	return f, lines.Err()
}
