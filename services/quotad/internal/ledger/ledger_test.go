//go:build linux

package ledger_test

import (
	"os"
	"path/filepath"
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
