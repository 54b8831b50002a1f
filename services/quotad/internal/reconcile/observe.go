//go:build linux

package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

// open opens the local bricks of a volume. Bricks that cannot be used are nil and have a problem.
func open(v decide.Volume) (bricks []*brick.Brick, problems []*decide.Problem) {
	bricks, problems = make([]*brick.Brick, len(v.Local)), make([]*decide.Problem, len(v.Local))
	first := map[string]int{}
	for i, of := range v.Local {
		bricks[i], problems[i] = brick.Open(v, of)
		if bricks[i] == nil {
			continue
		}
		other, isShared := first[bricks[i].FileSystem]
		if !isShared {
			first[bricks[i].FileSystem] = i
			continue
		}
		for _, j := range []int{other, i} {
			problems[j] = &decide.Problem{State: decide.Refused, Message: fmt.Sprintf(
				"bricks %s and %s of volume %s are on the same file system, where a directory of both would have one limit; "+
					"move one of them", v.Local[other].Path, of.Path, v.Name)}
		}
	}
	return bricks, problems
}

func closeAll(bricks []*brick.Brick) {
	for _, b := range bricks {
		if b != nil {
			_ = b.Close()
		}
	}
}

// observe reads the state of some directories of a brick. A directory that cannot be read is left out of the state, and
// its error is returned: nothing is decided about it.
func observe(
	records *ledger.Ledger, source Source, v decide.Volume, of decide.Brick, b *brick.Brick, paths []string,
) (decide.State, map[string]error) {
	s := decide.State{
		Volume: v, Brick: of, Directories: map[string]decide.Directory{}, Usage: map[uint32]decide.Usage{},
		BlockBytes: b.BlockBytes,
	}
	failed := map[string]error{}
	var projects []uint32
	read := slices.Compact(slices.Sorted(slices.Values(paths)))
	recorded, err := records.Of(b.FileSystem, v.ID, nil, read)
	if err != nil {
		return decide.State{}, all(paths, err)
	}
	for _, path := range read {
		target, found := source.Target(v, b, path)
		directory, err := b.Directory(path, isOwner(recorded, v, path))
		if err != nil {
			failed[path] = err
			continue
		}
		s.Directories[path] = directory
		if directory.Project != 0 {
			projects = append(projects, directory.Project)
		}
		if !found {
			continue
		}
		s.Targets = append(s.Targets, target)
		if target.Project != 0 {
			projects = append(projects, target.Project)
		} else {
			projects = append(projects, decide.Candidates(v.ID, path)...)
		}
	}
	if s.Owners, err = records.Of(b.FileSystem, v.ID, projects, read); err != nil {
		return decide.State{}, all(paths, err)
	}
	for project, owner := range s.Owners {
		projects = append(projects, project)
		// The id of a deleted directory may be free by now.
		if _, known := s.Directories[owner.Path]; !known && owner.Released && owner.Volume == v.ID {
			directory, err := b.Directory(owner.Path, isOwner(recorded, v, owner.Path))
			if err != nil {
				return decide.State{}, all(paths, err)
			}
			s.Directories[owner.Path] = directory
		}
	}
	for _, project := range projects {
		if _, known := s.Usage[project]; known {
			continue
		}
		if s.Usage[project], err = b.Usage(project); err != nil {
			return decide.State{}, all(paths, err)
		}
	}
	return s, failed
}

// isOwner returns a function that reports whether a project id was given to a directory.
func isOwner(owners map[uint32]decide.Owner, v decide.Volume, path string) func(uint32) bool {
	return func(project uint32) bool {
		owner, found := owners[project]
		return found && !owner.Released && owner.Volume == v.ID && owner.Path == path
	}
}

func all(paths []string, err error) map[string]error {
	failed := map[string]error{}
	for _, path := range paths {
		failed[path] = err
	}
	return failed
}

// joined returns the errors of directories as one, in order.
func joined(failed map[string]error) error {
	var errs []error
	for path, err := range failed {
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	const shown = 5
	if len(errs) > shown {
		errs = append(errs[:shown], fmt.Errorf("and %d more", len(errs)-shown))
	}
	return errors.Join(errs...)
}
