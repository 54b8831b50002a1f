//go:build linux

package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/glusterd"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

// CheckReport is the result of Check.
type CheckReport struct {
	Bricks []CheckedBrick
	// Lines describe what differs, Notes what is of interest.
	Lines, Notes []string
	// Broken is the number of bricks and volumes that cannot be used.
	Broken int
}

// CheckedBrick is a brick with its number of directories.
type CheckedBrick struct {
	Volume, Path, State, FileSystem string
	Directories, Enforced           int
}

// Check compares the limits of all bricks with the descriptions on the bricks and with the records. It changes nothing.
func Check(glusterdDir, stateDir string) (CheckReport, error) {
	read, err := glusterd.Read(glusterdDir)
	if err != nil {
		return CheckReport{}, err
	}
	var report CheckReport
	for _, problem := range read.Problems {
		report.Broken++
		report.add("%v", problem)
	}
	for _, v := range read.Volumes {
		bricks, problems := open(v)
		for i, b := range bricks {
			checked := CheckedBrick{Volume: v.Name, Path: v.Local[i].Path, State: "Ready"}
			problem := problems[i]
			if b != nil {
				checked.FileSystem = b.FileSystem
				records, err := ledger.Read(stateDir, b.FileSystem)
				if err == nil && !v.Managed && !isRecorded(records, v.ID) {
					checked.State = "NotManaged"
					report.Bricks = append(report.Bricks, checked)
					continue
				}
			} else if !v.Managed {
				checked.State = "NotManaged"
				report.Bricks = append(report.Bricks, checked)
				continue
			}
			if refusal := v.Refusal(); problem == nil && refusal != "" {
				problem = &decide.Problem{State: decide.Refused, Message: refusal}
			}
			if problem != nil {
				checked.State = string(problem.State)
				report.Broken++
				report.add("%s %s: %s", v.Name, checked.Path, problem.Message)
			} else if err := report.check(v, v.Local[i], b, stateDir, &checked); err != nil {
				report.Broken++
				report.add("%s %s: %v", v.Name, checked.Path, err)
			}
			report.Bricks = append(report.Bricks, checked)
		}
		closeAll(bricks)
	}
	return report, nil
}

func isRecorded(records map[uint32]decide.Owner, volume string) bool {
	for _, owner := range records {
		if owner.Volume == volume {
			return true
		}
	}
	return false
}

func (c *CheckReport) add(format string, args ...any) {
	c.Lines = append(c.Lines, fmt.Sprintf(format, args...))
}

func (c *CheckReport) check(
	v decide.Volume, of decide.Brick, b *brick.Brick, stateDir string, checked *CheckedBrick,
) error {
	records, err := ledger.Read(stateDir, b.FileSystem)
	if err != nil {
		return err
	}
	usage, err := projects(b)
	if err != nil {
		return err
	}
	s := decide.State{
		Volume: v, Brick: of, Owners: records, Usage: usage, BlockBytes: b.BlockBytes,
		Directories: map[string]decide.Directory{},
	}
	err = b.Walk(func(paths []string) error {
		for _, path := range paths {
			if target, found := b.Target(v, path); found {
				s.Targets = append(s.Targets, target)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range s.Targets {
		if s.Directories[t.Path], err = b.Directory(t.Path, isOwner(records, v, t.Path)); err != nil {
			return err
		}
	}
	for _, owner := range records {
		if _, known := s.Directories[owner.Path]; owner.Volume == v.ID && !known {
			if s.Directories[owner.Path], err = b.Directory(owner.Path, isOwner(records, v, owner.Path)); err != nil {
				return err
			}
		}
	}
	plan := decide.Decide(s)
	checked.Directories = len(plan.Results)
	steps := map[string]decide.Step{}
	for _, step := range plan.Steps {
		if step.LimitBytes != 0 {
			steps[step.Path] = step
			continue
		}
		if step.SetLimit {
			c.add("%s %s: %s was deleted, but project %d still has its limit", v.Name, of.Path, step.Path, step.Project)
		}
	}
	for _, r := range plan.Results {
		step, differs := steps[r.Target.Path]
		switch {
		case r.State != decide.Enforced && r.State != decide.Arbiter:
			c.add("%s %s: %s: %s: %s", v.Name, of.Path, r.Target.Path, r.State, r.Message)
		case differs && step.SetLimit:
			c.add("%s %s: %s: project %d has the limit %d instead of %d", v.Name, of.Path, r.Target.Path, step.Project,
				usage[step.Project].LimitBytes, step.LimitBytes)
		case differs:
			c.add("%s %s: %s: not everything in it belongs to project %d", v.Name, of.Path, r.Target.Path, step.Project)
		default:
			checked.Enforced++
		}
	}
	foreign(c, v, of, s, plan)
	return nil
}

// foreign reports limits that quotad has not set. They are of interest, but not wrong.
func foreign(c *CheckReport, v decide.Volume, of decide.Brick, s decide.State, plan decide.Plan) {
	own := map[uint32]bool{}
	for _, step := range plan.Steps {
		own[step.Project] = true
	}
	for _, project := range slices.Sorted(maps.Keys(s.Usage)) {
		_, isRecorded := s.Owners[project]
		if limit := s.Usage[project].LimitBytes; limit != 0 && !isRecorded && !own[project] {
			c.Notes = append(c.Notes, fmt.Sprintf(
				"%s %s: project %d has a limit of %d bytes that quotad has not set; it is not changed", v.Name, of.Path,
				project, limit))
		}
	}
}

// projects returns all projects of a brick's file system.
func projects(b *brick.Brick) (map[uint32]decide.Usage, error) {
	found := map[uint32]decide.Usage{}
	for next := uint32(1); ; next++ {
		u, err := b.Quota().Next(next)
		if errors.Is(err, xfsquota.ErrNoMoreProjects) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		//nolint:gosec // XFS file systems are smaller than 2^63 bytes
		found[u.Project] = decide.Usage{
			LimitBytes: int64(u.LimitBytes), UsedBytes: int64(u.UsedBytes), Files: int64(u.Files),
		}
		next = u.Project
	}
}
