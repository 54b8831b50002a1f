package decide

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// Project ids that quotad chooses for directories without one. They differ from the default range of gluster-bridge.
const (
	firstOwnProject = 1 << 29
	ownProjects     = 1 << 29
	candidates      = 8
)

// Candidates returns the project ids that a directory without one may get, in order. They follow from the directory, so
// all bricks usually choose the same.
func Candidates(volumeID, path string) []uint32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(volumeID + "/" + path))
	first := h.Sum64() % ownProjects
	ids := make([]uint32, candidates)
	for i := range ids {
		ids[i] = uint32(firstOwnProject + (first+uint64(i))%ownProjects) //nolint:gosec // less than 2^30
	}
	return ids
}

// Decide returns the plan for a brick.
func Decide(s State) Plan {
	var plan Plan
	problem := s.Problem
	if refusal := s.Volume.Refusal(); problem == nil && refusal != "" {
		problem = &Problem{Refused, refusal}
	}
	if problem != nil {
		for _, t := range s.Targets {
			plan.Results = append(plan.Results, Result{Target: t, State: problem.State, Message: problem.Message})
		}
		return plan
	}
	wanted := map[string]uint32{}
	taken, recorded := map[uint32]Owner{}, map[string]uint32{}
	for id, owner := range s.Owners {
		taken[id] = owner
		if owner.Volume == s.Volume.ID && !owner.Released {
			recorded[owner.Path] = id
		}
	}
	for _, t := range s.Targets {
		result, project, step := s.target(t, taken, recorded[t.Path])
		wanted[t.Path] = project
		plan.Results = append(plan.Results, result)
		if step != nil {
			plan.Steps = append(plan.Steps, *step)
		}
	}
	released, kept := s.release(wanted)
	plan.Steps, plan.Kept = append(plan.Steps, released...), kept
	return plan
}

// target decides about one directory. taken has the owners of project ids, with those of earlier targets. recorded is
// the recorded id of the directory, or 0.
func (s State) target(t Target, taken map[uint32]Owner, recorded uint32) (Result, uint32, *Step) {
	r := Result{Target: t, State: Failed, Message: t.Problem}
	if t.Problem != "" {
		return r, 0, nil
	}
	if s.Brick.Arbiter {
		r.State = Arbiter
		return r, 0, nil
	}
	dir := s.Directories[t.Path]
	if dir.Problem != "" {
		r.Message = dir.Problem
		return r, 0, nil
	}
	project, conflict := s.project(t, dir, taken, recorded)
	if conflict != "" {
		r.State, r.Message = ProjectInUse, conflict
		return r, 0, nil
	}
	owner, isRecorded := taken[project]
	taken[project] = Owner{Volume: s.Volume.ID, Path: t.Path, Assigned: owner.Assigned}
	r.LimitBytes, r.UsedBytes = s.roundUp(s.Volume.Limit(t.Bytes)), s.Usage[project].UsedBytes
	if !dir.Exists {
		r.State, r.Message, r.LimitBytes = Waiting, "the directory does not exist on this brick yet", 0
		return r, project, nil
	}
	r.State = Enforced
	step := Step{
		Volume: s.Volume.ID, Path: t.Path, Project: project, LimitBytes: r.LimitBytes,
		SetLimit: s.Usage[project].LimitBytes != r.LimitBytes,
		Assign:   !owner.Assigned || dir.Project != project || !dir.Inherit,
	}
	if !isRecorded || owner.Released || step.Assign && owner.Assigned {
		// If the process ends during the assignment, the record shows that it has to be repeated.
		step.Own = &Owner{Volume: s.Volume.ID, Path: t.Path}
	}
	if step.Own == nil && !step.SetLimit && !step.Assign {
		return r, project, nil
	}
	return r, project, &step
}

// project returns the project id of a directory, or why it has none.
func (s State) project(
	t Target, dir Directory, taken map[uint32]Owner, recorded uint32,
) (project uint32, conflict string) {
	if t.Project != 0 {
		return t.Project, s.conflict(t, dir, t.Project, taken)
	}
	ids := Candidates(s.Volume.ID, t.Path)
	// Without a record, the project of the directory was chosen by kadalu's daemon, or the record was lost.
	// A project that the directory above has too is that of an administrator.
	own := dir.Project
	if dir.Inherited {
		own = 0
	}
	if first := cmp.Or(recorded, own); first != 0 {
		ids = append([]uint32{first}, ids...)
	}
	for _, id := range ids {
		if conflict = s.conflict(t, dir, id, taken); conflict == "" {
			return id, ""
		}
	}
	return 0, conflict
}

// conflict returns why a directory cannot have a project id. It is empty if it can.
func (s State) conflict(t Target, dir Directory, project uint32, taken map[uint32]Owner) string {
	owner, isRecorded := taken[project]
	switch {
	case isRecorded && owner.Volume == s.Volume.ID && owner.Path == t.Path:
		return ""
	case isRecorded && owner.Released:
		return fmt.Sprintf("project id %d was that of the deleted directory %s of volume %s, and %d files still have it; "+
			"the id is free when they are removed", project, owner.Path, owner.Volume, s.Usage[project].Files)
	case isRecorded:
		return fmt.Sprintf("project id %d belongs to directory %s of volume %s on the same file system; "+
			"each directory needs its own id", project, owner.Path, owner.Volume)
	case s.Usage[project].isUsed() && (!dir.Exists || dir.Project != project || dir.Inherited):
		return fmt.Sprintf("project id %d is in use on the file system, but not by quotad (limit %d bytes, %d files); "+
			"it is not changed; give it up with xfs_quota, or use another id", project, s.Usage[project].LimitBytes,
			s.Usage[project].Files)
	}
	return ""
}

// release returns the steps for directories of the volume that were limited before and are no longer targets. A
// directory that still exists is kept with its limit: its files still have the project id. The id of a deleted
// directory is free when no file has it. wanted has the project ids of the targets, or 0 if one could not be decided.
func (s State) release(wanted map[string]uint32) (steps []Step, kept []string) {
	for _, project := range slices.Sorted(maps.Keys(s.Owners)) {
		owner := s.Owners[project]
		dir, isObserved := s.Directories[owner.Path]
		if owner.Volume != s.Volume.ID || !isObserved || s.Brick.Arbiter || dir.Problem != "" {
			continue
		}
		// A directory that was created again can have another id.
		now, isTarget := wanted[owner.Path]
		isHeld := isTarget && (now == project || now == 0) || !isTarget && dir.Exists && dir.Project == project
		if isHeld && !owner.Released {
			if !isTarget {
				kept = append(kept, owner.Path)
			}
			continue
		}
		usage := s.Usage[project]
		step := Step{
			Volume: owner.Volume, Path: owner.Path, Project: project, SetLimit: usage.LimitBytes != 0, Forget: usage.Files == 0,
		}
		if !owner.Released {
			step.Own = &Owner{Volume: owner.Volume, Path: owner.Path, Released: true}
		}
		if step.Own != nil || step.SetLimit || step.Forget {
			steps = append(steps, step)
		}
	}
	return steps, kept
}

// roundUp rounds a limit up to the blocks of the file system, as XFS does.
func (s State) roundUp(bytes int64) int64 {
	block := cmp.Or(s.BlockBytes, 4096)
	return (bytes + block - 1) / block * block
}
