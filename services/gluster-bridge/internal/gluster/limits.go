//go:build linux

package gluster

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Shows reports whether statfs of a directory shows the limit of a volume. The client of the volume shows the smallest
// limit of the bricks, which is right as soon as one brick has it if there was none before. So each online brick is
// asked too.
func (t *Tree) Shows(ctx context.Context, directory string, size int64) (shown decide.Shown, err error) {
	limit := decide.Limit{Size: size, DataBricks: t.Client.Graph.DataBricks()}
	if shown.Volume, err = t.shows(directory, limit); err != nil || !shown.Volume {
		return shown, err
	}
	offline, err := t.Offline()
	if err != nil {
		return shown, err
	}
	var running sync.WaitGroup
	missing := make([]string, len(t.Client.Graph.Bricks))
	for _, i := range t.Client.Graph.LimitedBricks() {
		brick := t.Client.Graph.Bricks[i]
		if slices.Contains(offline, brick) {
			continue
		}
		running.Go(func() {
			switch shows, err := t.brick(ctx, i, directory, limit.OnBrick()); {
			case err != nil:
				missing[i] = fmt.Sprintf("%s (%v)", brick, err)
			case !shows:
				missing[i] = brick
			}
		})
	}
	running.Wait()
	shown.Missing = slices.DeleteFunc(missing, func(brick string) bool { return brick == "" })
	return shown, nil
}

// shows reports whether statfs of a directory of this mount shows a limit.
func (t *Tree) shows(directory string, limit decide.Limit) (bool, error) {
	capacity, _, err := t.Size()
	if err != nil {
		return false, err
	}
	dir, err := t.root.OpenDir(decide.DataPath(directory))
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	var s unix.Statfs_t
	if err := dir.Control(func(fd int) error { return unix.Fstatfs(fd, &s) }); err != nil {
		return false, fmt.Errorf("statfs %s: %w", decide.DataPath(directory), err)
	}
	return limit.Shows(int64(s.Blocks)*s.Bsize, s.Bsize, capacity), nil
}
