//go:build linux

package gluster

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

var volume = decide.Mountable{Hosts: []string{"node1"}, Port: 24007, Name: "r3"}

// write writes a record as an earlier process did.
func write(t *testing.T, root, key string, r record) string {
	t.Helper()
	data, err := json.Marshal(r)
	require.NoError(t, err)
	name := filepath.Join(root, key+recordSuffix)
	require.NoError(t, os.WriteFile(name, data, 0o600))
	return name
}

func thisBoot(t *testing.T) record {
	t.Helper()
	boot, err := bootID()
	require.NoError(t, err)
	return record{
		Volume: toJSON(volume), Boot: boot, Mounted: deviceJSON{"0:50", "node1:/r3"},
		Ended: []deviceJSON{{"0:49", "node1:/r3"}},
	}
}

func TestANewProcessFindsTheMountsOfThePreviousOne(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, Key(volume), thisBoot(t))
	p := &Pool{Root: root, Records: true}
	loaded, err := p.LoadRecords()
	require.NoError(t, err)
	require.Equal(t, 1, loaded)
	require.Equal(t, map[string]decide.Ended{
		"0:49": {Client: Key(volume), Source: "node1:/r3", Point: filepath.Join(root, Key(volume))},
	}, p.ended())

	h := p.Of(volume)
	require.NoError(t, h.recorder.noteEnded(h.Point))
	require.Len(t, p.ended(), 2)
	require.Empty(t, p.ended()["0:50"].Point, "no client is mounted")
	again := &Pool{Root: root, Records: true}
	_, err = again.LoadRecords()
	require.NoError(t, err)
	require.Equal(t, p.ended(), again.ended())

	require.NoError(t, h.recorder.forget(h.recorder.ended()))
	require.Empty(t, p.ended())
	require.NoError(t, h.recorder.remove())
	require.NoError(t, h.recorder.remove())
	require.NoFileExists(t, filepath.Join(root, Key(volume)+recordSuffix))
}

func TestRecordsOfAnotherBootAreRemoved(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	old := thisBoot(t)
	old.Boot = "an earlier one"
	name := write(t, root, Key(volume), old)
	point := filepath.Join(root, Key(volume))
	require.NoError(t, os.Mkdir(point, 0o700))
	// A directory with content is never removed.
	other := volume
	other.Name = "r4"
	write(t, root, Key(other), record{Volume: toJSON(other), Boot: "an earlier one"})
	kept := filepath.Join(root, Key(other), "data")
	require.NoError(t, os.MkdirAll(kept, 0o700))
	p := &Pool{Root: root, Records: true}
	loaded, err := p.LoadRecords()
	require.NoError(t, err)
	require.Zero(t, loaded)
	require.NoFileExists(t, name)
	require.NoDirExists(t, point)
	require.DirExists(t, kept)
}

func TestADamagedRecordIsReportedAndTheOthersAreRead(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, Key(volume), thisBoot(t))
	hostile := thisBoot(t)
	hostile.Volume.Options = []string{"volfile=/etc/shadow"}
	for name, want := range map[string]string{
		write(t, root, "renamed-0000000000000000", thisBoot(t)): "it describes the volume " + Key(volume),
		write(t, root, "hostile-0000000000000000", hostile):     "is not an allowed mount option",
		filepath.Join(root, "partial-0000000000000000.json"):    "unexpected end of JSON input",
	} {
		if filepath.Base(name)[0] == 'p' {
			require.NoError(t, os.WriteFile(name, []byte(`{"volume":`), 0o600))
		}
		p := &Pool{Root: root, Records: true}
		loaded, err := p.LoadRecords()
		require.Equal(t, 1, loaded)
		require.ErrorContains(t, err, "read the record "+name)
		require.ErrorContains(t, err, want)
	}
}
