package decide_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

const (
	gibibyte = 1 << 30
	volumeID = "2f0f3e36-0000-4000-8000-000000000001"
	path     = "subvol/ab/cd/pvc-1"
	project  = 1<<30 + 5
)

func replica() decide.Volume {
	return decide.Volume{Name: "data", ID: volumeID, Kind: decide.Replicate, Bricks: 3, Subvolume: 3, Managed: true}
}

// enforced is a state in which the limit of one directory is in effect.
func enforced() decide.State {
	return decide.State{
		Volume: replica(), Brick: decide.Brick{Path: "/bricks/data"}, BlockBytes: 4096,
		Targets:     []decide.Target{{Path: path, Bytes: gibibyte, Project: project}},
		Directories: map[string]decide.Directory{path: {Exists: true, Project: project, Inherit: true}},
		Owners:      map[uint32]decide.Owner{project: {Volume: volumeID, Path: path, Assigned: true}},
		Usage:       map[uint32]decide.Usage{project: {LimitBytes: gibibyte, UsedBytes: 10, Files: 1}},
	}
}

func TestLimitFollowsFromTheTypeOfTheVolume(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*decide.Volume)
		refusal string
		limit   int64
	}{
		"replica 3 has the size on each brick": {func(*decide.Volume) {}, "", 100},
		"disperse 2+1 has half of the size, rounded up": {func(v *decide.Volume) {
			v.Kind, v.Redundancy = decide.Disperse, 1
		}, "", 50},
		"one brick has the size": {func(v *decide.Volume) {
			v.Kind, v.Bricks, v.Subvolume = decide.Distribute, 1, 1
		}, "", 100},
		"distribute is refused": {func(v *decide.Volume) {
			v.Kind, v.Subvolume = decide.Distribute, 1
		}, "distributes files over 3 subvolumes", 0},
		"distributed replicate is refused": {func(v *decide.Volume) { v.Bricks = 6 }, "over 2 subvolumes", 0},
		"shard is refused":                 {func(v *decide.Volume) { v.Sharded = true }, "features.shard", 0},
		"stripe is refused":                {func(v *decide.Volume) { v.Kind = decide.Stripe }, "striped", 0},
		"an unknown type is refused":       {func(v *decide.Volume) { v.Kind = 9 }, "unknown type 9", 0},
		"a disperse volume without redundancy is refused": {func(v *decide.Volume) {
			v.Kind = decide.Disperse
		}, "redundancy 0 of 3", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := replica()
			c.change(&v)
			if c.refusal != "" {
				require.Contains(t, v.Refusal(), c.refusal)
				s := enforced()
				s.Volume = v
				plan := decide.Decide(s)
				require.Empty(t, plan.Steps)
				require.Equal(t, decide.Refused, plan.Results[0].State)
				return
			}
			require.Empty(t, v.Refusal())
			require.Equal(t, c.limit, v.Limit(100))
		})
	}
}

func TestOnlyWhatDiffersIsChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*decide.State)
		state  decide.BrickState
		steps  []decide.Step
	}{
		"nothing if all is equal": {func(*decide.State) {}, decide.Enforced, nil},
		"the limit of another size": {func(s *decide.State) {
			s.Targets[0].Bytes = 2 * gibibyte
		}, decide.Enforced, []decide.Step{
			{Volume: volumeID, Path: path, Project: project, SetLimit: true, LimitBytes: 2 * gibibyte},
		}},
		"everything of a new directory": {func(s *decide.State) {
			s.Owners, s.Usage, s.Directories[path] = nil, nil, decide.Directory{Exists: true}
		}, decide.Enforced, []decide.Step{{
			Volume: volumeID, Path: path, Project: project, Own: &decide.Owner{Volume: volumeID, Path: path},
			SetLimit: true, LimitBytes: gibibyte, Assign: true,
		}}},
		"the assignment that a crash has interrupted": {func(s *decide.State) {
			s.Owners[project] = decide.Owner{Volume: volumeID, Path: path}
		}, decide.Enforced, []decide.Step{
			{Volume: volumeID, Path: path, Project: project, LimitBytes: gibibyte, Assign: true},
		}},
		"the assignment of a healed directory, which is recorded first": {func(s *decide.State) {
			s.Directories[path] = decide.Directory{Exists: true}
		}, decide.Enforced, []decide.Step{{
			Volume: volumeID, Path: path, Project: project, Own: &decide.Owner{Volume: volumeID, Path: path},
			LimitBytes: gibibyte, Assign: true,
		}}},
		"nothing of a directory that does not exist yet": {func(s *decide.State) {
			s.Directories[path] = decide.Directory{}
		}, decide.Waiting, nil},
		"nothing if the size is not known": {func(s *decide.State) {
			s.Targets[0] = decide.Target{Path: path, Problem: "not valid"}
		}, decide.Failed, nil},
		"nothing on an arbiter": {func(s *decide.State) { s.Brick.Arbiter = true }, decide.Arbiter, nil},
		"nothing of a symbolic link": {func(s *decide.State) {
			s.Directories[path] = decide.Directory{Problem: "a link"}
		}, decide.Failed, nil},
		"nothing on a brick with a problem": {func(s *decide.State) {
			s.Problem = &decide.Problem{State: decide.Unavailable}
		}, decide.Unavailable, nil},
		"nothing if the id has a limit of others": {func(s *decide.State) {
			s.Owners, s.Directories[path] = nil, decide.Directory{Exists: true}
		}, decide.ProjectInUse, nil},
		"nothing if the id belongs to another directory": {func(s *decide.State) {
			s.Owners[project] = decide.Owner{Volume: "another", Path: path, Assigned: true}
		}, decide.ProjectInUse, nil},
		"nothing if the id has files of a deleted directory": {func(s *decide.State) {
			s.Owners[project] = decide.Owner{Volume: volumeID, Path: "subvol/00/00/old", Released: true}
		}, decide.ProjectInUse, nil},
		"the record of a directory that has the project already": {func(s *decide.State) {
			s.Owners = nil
		}, decide.Enforced, []decide.Step{{
			Volume: volumeID, Path: path, Project: project, Own: &decide.Owner{Volume: volumeID, Path: path},
			LimitBytes: gibibyte, Assign: true,
		}}},
		"the limit of a deleted directory": {func(s *decide.State) {
			s.Targets, s.Directories[path] = nil, decide.Directory{}
		}, "", []decide.Step{{
			Volume: volumeID, Path: path, Project: project,
			Own: &decide.Owner{Volume: volumeID, Path: path, Released: true}, SetLimit: true,
		}}},
		"nothing of a deleted volume whose directory is kept": {func(s *decide.State) { s.Targets = nil }, "", nil},
		"the record of a deleted directory without files": {func(s *decide.State) {
			s.Targets, s.Directories[path], s.Usage = nil, decide.Directory{}, nil
			s.Owners[project] = decide.Owner{Volume: volumeID, Path: path, Released: true}
		}, "", []decide.Step{{Volume: volumeID, Path: path, Project: project, Forget: true}}},
		"the previous id of a directory that was created again": {func(s *decide.State) {
			s.Targets[0].Project, s.Directories[path] = project+1, decide.Directory{Exists: true}
		}, decide.Enforced, []decide.Step{
			{
				Volume: volumeID, Path: path, Project: project + 1, Own: &decide.Owner{Volume: volumeID, Path: path},
				SetLimit: true, LimitBytes: gibibyte, Assign: true,
			},
			{
				Volume: volumeID, Path: path, Project: project,
				Own: &decide.Owner{Volume: volumeID, Path: path, Released: true}, SetLimit: true,
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := enforced()
			c.change(&s)
			plan := decide.Decide(s)
			require.Equal(t, c.steps, plan.Steps)
			if c.state != "" {
				require.Equal(t, c.state, plan.Results[0].State, plan.Results[0].Message)
			}
		})
	}
}

func TestDirectoriesThatAreKeptAreThoseThatStillExistWithTheirLimits(t *testing.T) {
	t.Parallel()
	s := enforced()
	require.Empty(t, decide.Decide(s).Kept, "a target")
	s.Targets = nil
	require.Equal(t, []string{path}, decide.Decide(s).Kept)
	s.Directories[path] = decide.Directory{}
	require.Empty(t, decide.Decide(s).Kept, "a deleted directory")
	s.Directories[path] = decide.Directory{Exists: true}
	require.Empty(t, decide.Decide(s).Kept, "a directory without the project")
}

func TestDirectoryWithoutAProjectGetsTheFirstFreeOne(t *testing.T) {
	t.Parallel()
	s := enforced()
	ids := decide.Candidates(volumeID, path)
	s.Targets[0].Project = 0
	s.Owners, s.Directories[path] = nil, decide.Directory{Exists: true}
	s.Usage = map[uint32]decide.Usage{ids[0]: {Files: 1}}
	plan := decide.Decide(s)
	require.Equal(t, ids[1], plan.Steps[0].Project)
	require.NotEqual(t, ids[0], decide.Candidates(volumeID, path+"x")[0])
}

// FuzzDecide carries out plans of random states until nothing changes. Then no two directories share a project id, and
// no limit of others has changed.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		s := decide.State{
			Volume: replica(), BlockBytes: 4096, Directories: map[string]decide.Directory{},
			Owners: map[uint32]decide.Owner{}, Usage: map[uint32]decide.Usage{3: {LimitBytes: 99 * 4096}},
		}
		for range 30 {
			name := fmt.Sprintf("subvol/00/00/%d", random.IntN(6))
			switch random.IntN(5) {
			case 0, 1:
				id := uint32(random.IntN(6)) //nolint:gosec // small
				s.Targets = []decide.Target{{Path: name, Bytes: int64(1 + random.IntN(9)), Project: id}}
			case 2:
				s.Directories[name] = decide.Directory{Exists: true}
			case 3:
				s.Directories[name] = decide.Directory{}
			case 4:
				s.Targets = nil
			}
			settle(t, &s)
		}
	})
}

func settle(t *testing.T, s *decide.State) {
	t.Helper()
	for range 20 {
		plan := decide.Decide(*s)
		if len(plan.Steps) == 0 {
			holders := map[uint32]string{}
			for name, d := range s.Directories {
				if d.Exists && d.Project != 0 {
					require.Empty(t, holders[d.Project], "%s shares project %d", name, d.Project)
					holders[d.Project] = name
				}
			}
			require.EqualValues(t, 99*4096, s.Usage[3].LimitBytes, "the limit of others")
			return
		}
		for _, step := range plan.Steps {
			require.NotEqualValues(t, 3, step.Project)
			if step.Own != nil {
				s.Owners[step.Project] = *step.Own
			}
			if step.SetLimit {
				s.Usage[step.Project] = decide.Usage{LimitBytes: step.LimitBytes}
			}
			if step.Assign {
				s.Directories[step.Path] = decide.Directory{Exists: true, Project: step.Project, Inherit: true}
				s.Owners[step.Project] = decide.Owner{Volume: step.Volume, Path: step.Path, Assigned: true}
			}
			if step.Forget {
				delete(s.Owners, step.Project)
			}
		}
	}
	t.Fatal("the plan does not become empty")
}

func TestProjectOfTheDirectoryAboveIsNotTakenOver(t *testing.T) {
	t.Parallel()
	const foreign = 77
	s := enforced()
	s.Targets[0].Project = 0
	s.Directories[path] = decide.Directory{Exists: true, Project: foreign, Inherit: true, Inherited: true}
	s.Owners, s.Usage = nil, map[uint32]decide.Usage{foreign: {LimitBytes: 1 << 40, Files: 100_000}}
	plan := decide.Decide(s)
	require.Len(t, plan.Steps, 1)
	require.Equal(t, decide.Candidates(volumeID, path)[0], plan.Steps[0].Project)
	s.Targets[0].Project = foreign
	require.Equal(t, decide.ProjectInUse, decide.Decide(s).Results[0].State)
}
