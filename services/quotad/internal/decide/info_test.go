package decide_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

func TestPathsOfDescriptionsAndDirectories(t *testing.T) {
	t.Parallel()
	data, err := decide.DataPath("ab/cd/pvc-1.json")
	require.NoError(t, err)
	require.Equal(t, "subvol/ab/cd/pvc-1", data)
	info, err := decide.InfoPath(data)
	require.NoError(t, err)
	require.Equal(t, "info/ab/cd/pvc-1.json", info)
	for _, name := range []string{
		"", "ab/cd/pvc-1", "ab/cd/.json", "ab/cd/...json", "ab/cd/../x.json", "../cd/x.json", "ab/x.json", "AB/cd/x.json",
		"ab/cd/.pvc-1.json.tmp", "ab/cd/ef/x.json",
	} {
		_, err := decide.DataPath(name)
		require.Error(t, err, name)
	}
	for _, name := range []string{"", "subvol", "subvol/../x", "subvol/ab/cd/..", "/subvol/ab/cd/x", "info/ab/cd/x"} {
		_, err := decide.InfoPath(name)
		require.Error(t, err, name)
	}
	for _, name := range []string{"", ".hidden", "..", "a/b"} {
		_, found := decide.SpoolPath(name)
		require.False(t, found, name)
	}
}

func TestManagedVolumesAreNamesOrAListInJSON(t *testing.T) {
	t.Parallel()
	for content, want := range map[string][]string{
		"data\n# old\n\nlogs\n": {"data", "logs"}, `["data", "logs"]`: {"data", "logs"}, "": nil,
	} {
		names, err := decide.ParseManaged([]byte(content))
		require.NoError(t, err, content)
		require.Equal(t, want, names, content)
	}
	for _, content := range []string{`["data",`, `{"volumes": 1}`, "da/ta\n", "data logs\n"} {
		_, err := decide.ParseManaged([]byte(content))
		require.Error(t, err, content)
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add([]byte(`{"size": 1048576, "path_prefix": "subvol/ab/cd", "project_id": 7}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		target, err := decide.ParseInfo(path, content)
		if err == nil {
			require.Equal(t, path, target.Path)
			require.Positive(t, target.Bytes)
			require.LessOrEqual(t, target.Bytes, int64(1<<60))
		}
	})
}

func TestDescriptionIsInTheDirectoryOfTheSameNames(t *testing.T) {
	t.Parallel()
	info, err := decide.InfoPath("subvol/ab/cd/pvc-1")
	require.NoError(t, err)
	require.Equal(t, "info/ab/cd/pvc-1.json", info)
	directory, found := decide.InfoDirectoryOf("subvol/0b/cd/pvc-1")
	require.True(t, found)
	require.Equal(t, "0b/cd", directory.String())
	for _, path := range []string{"subvol/0B/cd/pvc-1", "subvol/0b/c/pvc-1", "subvol/0b/pvc-1", "other/0b/cd/pvc-1", "a"} {
		_, found := decide.InfoDirectoryOf(path)
		require.False(t, found, path)
	}
}
