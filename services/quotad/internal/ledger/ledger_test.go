//go:build linux

package ledger_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

const fileSystem = "0f0e0d0c-0000-4000-8000-000000000001"

func open(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(dir)
	require.NoError(t, err)
	return l
}

func owner(path string) *decide.Owner { return &decide.Owner{Volume: "v", Path: path} }

func TestRecordsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, dir)
	require.NoError(t, l.Write(fileSystem, []ledger.Change{
		{Project: 1, Owner: owner("a")}, {Project: 2, Owner: owner("b")},
	}))
	require.NoError(t, l.Assigned(fileSystem, []ledger.Change{
		{Project: 1, Owner: &decide.Owner{Volume: "v", Path: "a", Assigned: true}},
		{Project: 2, Owner: &decide.Owner{Volume: "v", Path: "another", Assigned: true}},
	}))
	require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: 3, Owner: owner("c")}, {Project: 3}}))
	require.NoError(t, l.Close())

	l = open(t, dir)
	defer func() { require.NoError(t, l.Close()) }()
	paths, err := l.Paths(fileSystem, "v")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, paths)
	owners, err := l.Of(fileSystem, "v", []uint32{2, 3}, []string{"a"})
	require.NoError(t, err)
	require.Equal(t, map[uint32]decide.Owner{1: {Volume: "v", Path: "a", Assigned: true}, 2: *owner("b")}, owners)
	read, err := ledger.Read(dir, fileSystem)
	require.NoError(t, err)
	require.Equal(t, owners, read)
}

func TestIncompleteLastLineIsIgnored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, fileSystem+".jsonl")
	require.NoError(t, os.WriteFile(name, []byte(`{"project":1,"owner":{"volume":"v","path":"a"}}
{"project":2,"own`), 0o600))
	l := open(t, dir)
	require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: 4, Owner: owner("d")}}))
	require.NoError(t, l.Close())
	read, err := ledger.Read(dir, fileSystem)
	require.NoError(t, err)
	require.Equal(t, map[uint32]decide.Owner{1: *owner("a"), 4: *owner("d")}, read)
}

func TestDamagedRecordsAreNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, content := filepath.Join(dir, fileSystem+".jsonl"), []byte("damaged\n{\"project\":1}\n")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	l := open(t, dir)
	defer func() { require.NoError(t, l.Close()) }()
	_, err := l.Paths(fileSystem, "v")
	require.ErrorContains(t, err, fileSystem+".jsonl line 1:")
	require.ErrorContains(t, err, "restore the file, or remove it")
	kept, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, content, kept)
}

func TestOnlyOneProcessUsesTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	_, err := ledger.Open(dir)
	require.ErrorIs(t, err, ledger.ErrLocked)
	require.NoError(t, l.Close())
	require.NoError(t, open(t, dir).Close())
}

func TestFileOfAProcessThatRunsForLongStaysSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: 1, Owner: owner("kept")}}))
	largest := int64(0)
	for range 40 {
		var created, deleted []ledger.Change
		for project := uint32(2); project < 1000; project++ {
			created = append(created, ledger.Change{Project: project, Owner: owner("deleted")})
			deleted = append(deleted, ledger.Change{Project: project})
		}
		require.NoError(t, l.Write(fileSystem, created))
		require.NoError(t, l.Write(fileSystem, deleted))
		stat, err := os.Stat(filepath.Join(dir, fileSystem+".jsonl"))
		require.NoError(t, err)
		largest = max(largest, stat.Size())
	}
	require.Less(t, largest, int64(1<<20), "of 80,000 lines")
	paths, err := l.Paths(fileSystem, "v")
	require.NoError(t, err)
	require.Equal(t, []string{"kept"}, paths)
	require.NoError(t, l.Close())
	read, err := ledger.Read(dir, fileSystem)
	require.NoError(t, err)
	require.Equal(t, map[uint32]decide.Owner{1: *owner("kept")}, read)
}

// FuzzRecords compares the records with a map, also after a restart.
func FuzzRecords(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(2))
	f.Fuzz(func(t *testing.T, number uint64) {
		random := rand.New(rand.NewPCG(number, 1)) //nolint:gosec // a test
		dir := t.TempDir()
		l := open(t, dir)
		want := map[uint32]decide.Owner{}
		check := func() {
			for _, volume := range []string{"v", "w"} {
				paths := map[string]map[uint32]decide.Owner{}
				for project, owner := range want {
					if owner.Volume == volume {
						if paths[owner.Path] == nil {
							paths[owner.Path] = map[uint32]decide.Owner{}
						}
						paths[owner.Path][project] = owner
					}
				}
				require.Equal(t, len(paths) > 0, l.Has(volume))
				have, err := l.Paths(fileSystem, volume)
				require.NoError(t, err)
				require.ElementsMatch(t, slices.Collect(maps.Keys(paths)), have)
				for _, path := range []string{"a", "b", "c", "d"} {
					of, err := l.Of(fileSystem, volume, nil, []string{path})
					require.NoError(t, err)
					require.Equal(t, len(paths[path]), len(of))
					for project, owner := range paths[path] {
						require.Equal(t, owner, of[project])
					}
				}
			}
		}
		for range 60 {
			project := random.Uint32N(8)
			if random.IntN(3) == 0 {
				require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: project}}))
				delete(want, project)
				continue
			}
			owner := decide.Owner{
				Volume: []string{"v", "w"}[random.IntN(2)], Path: string(rune('a' + random.IntN(4))),
				Assigned: random.IntN(2) == 0, Released: random.IntN(2) == 0,
			}
			require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: project, Owner: &owner}}))
			want[project] = owner
		}
		check()
		require.NoError(t, l.Close())
		l = open(t, dir)
		check()
		require.NoError(t, l.Close())
	})
}

// It is not parallel: the limit of the size of files is that of the process. It stands for a full file system.
func TestRecordsAreValidAfterAWriteToAFullFileSystem(t *testing.T) { //nolint:paralleltest // see above
	dir := t.TempDir()
	l := open(t, dir)
	require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: 1, Owner: owner("a")}}))
	stat, err := os.Stat(filepath.Join(dir, fileSystem+".jsonl"))
	require.NoError(t, err)
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &before))
	limit := unix.Rlimit{Cur: uint64(stat.Size()) + 10, Max: before.Max} //nolint:gosec // sizes are positive
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	err = l.Write(fileSystem, []ledger.Change{{Project: 2, Owner: owner("b")}})
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &before))
	require.Error(t, err)
	require.NoError(t, l.Write(fileSystem, []ledger.Change{{Project: 3, Owner: owner("c")}}))
	require.True(t, l.Has("v"))
	require.NoError(t, l.Close())
	read, err := ledger.Read(dir, fileSystem)
	require.NoError(t, err)
	require.Equal(t, map[uint32]decide.Owner{1: *owner("a"), 3: *owner("c")}, read)
}
