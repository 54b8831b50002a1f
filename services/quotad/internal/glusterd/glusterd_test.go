//go:build linux

package glusterd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/glusterd"
)

func write(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
	return dir
}

const own = "09f386c7-714c-4808-90e5-eda16edbed0b"

// files are those that glusterd 10.3 writes for a volume with replica 2 and an arbiter.
func files() map[string]string {
	return map[string]string{
		"glusterd.info": "UUID=" + own + "\noperating-version=100000\n",
		"vols/data/info": "type=2\ncount=3\nstatus=1\nsub_count=3\nreplica_count=3\narbiter_count=1\ndisperse_count=0\n" +
			"redundancy_count=0\nversion=2\nvolume-id=e3d03589-5c22-4fc9-b4b6-f3f000032ee4\npassword=a0fe4123\n" +
			"features.shard=off\nuser.weir.dev/managed=on\nbrick-0=node1:-bricks-data\nbrick-1=node2:-bricks-data\n" +
			"brick-2=node3:-bricks-data\n",
		"vols/data/bricks/node1:-bricks-data": "uuid=" + own + "\nhostname=node1\npath=/bricks/data\nreal_path=/srv/data\n",
		"vols/data/bricks/node2:-bricks-data": "uuid=2\nhostname=node2\npath=/bricks/data\nreal_path=/bricks/data\n",
		"vols/data/bricks/node3:-bricks-data": "uuid=" + own + "\nhostname=node3\npath=/bricks/data\n",
	}
}

func TestVolumesAndLocalBricksAreRead(t *testing.T) {
	t.Parallel()
	n, err := glusterd.Read(write(t, t.TempDir(), files()))
	require.NoError(t, err)
	require.Empty(t, n.Problems)
	require.Equal(t, own, n.ID)
	require.Equal(t, []decide.Volume{{
		Name: "data", ID: "e3d03589-5c22-4fc9-b4b6-f3f000032ee4", Kind: decide.Replicate, Bricks: 3, Subvolume: 3,
		Managed: true,
		Local: []decide.Brick{
			{Host: "node1", Path: "/srv/data"}, {Host: "node3", Path: "/bricks/data", Arbiter: true},
		},
	}}, n.Volumes)
}

func TestFilesThatAreNotValidAreReportedAndOthersAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, content, want string
	}{
		"a partial volume":    {"vols/partial/info", "type=2\ncount=3\nvolume-id=1\nbrick-0=a:-b\n", "1 of 3 bricks"},
		"a huge number":       {"vols/partial/info", "type=99999999999999999999\n", "is not a valid number"},
		"a brick that leaves": {"vols/partial/info", "brick-0=../../etc/passwd\n", "is not a valid brick"},
		"no file":             {"vols/partial/other", "", "no such file"},
		"a missing volume":    {"kadalustorage.info", "data\nmissing\n", "lists volume missing, which does not exist"},
		"a partial list":      {"kadalustorage.info", `["data`, "not a list of names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, t.TempDir(), files())
			n, err := glusterd.Read(write(t, dir, map[string]string{c.file: c.content}))
			require.NoError(t, err)
			require.Len(t, n.Volumes, 1)
			require.Len(t, n.Problems, 1)
			require.ErrorContains(t, n.Problems[0], c.want)
			require.NotContains(t, n.Problems[0].Error(), "a0fe4123")
		})
	}
}

func TestNodeWithoutGlusterdSaysSo(t *testing.T) {
	t.Parallel()
	_, err := glusterd.Read(filepath.Join(t.TempDir(), "missing"))
	require.ErrorContains(t, err, "read the files of glusterd")
	_, err = glusterd.Read(write(t, t.TempDir(), map[string]string{"glusterd.info": "operating-version=1\n"}))
	require.ErrorContains(t, err, "has no UUID; start glusterd once")
}

func FuzzRead(f *testing.F) {
	f.Add(files()["vols/data/info"], files()["vols/data/bricks/node1:-bricks-data"])
	f.Fuzz(func(t *testing.T, info, brick string) {
		changed := files()
		changed["vols/data/info"], changed["vols/data/bricks/node1:-bricks-data"] = info, brick
		n, err := glusterd.Read(write(t, t.TempDir(), changed))
		require.NoError(t, err)
		for _, v := range n.Volumes {
			for _, b := range v.Local {
				require.True(t, filepath.IsAbs(b.Path) && filepath.Clean(b.Path) == b.Path && b.Path != "/", b.Path)
			}
		}
	})
}
