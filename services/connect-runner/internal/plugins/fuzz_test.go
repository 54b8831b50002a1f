package plugins

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzUnpackStaysInsideItsDirectory(f *testing.F) {
	f.Add(zipped(f, entry{name: "a/b.jar", content: "x"}))
	f.Add(zipped(f, entry{name: "../b.jar", content: "x"}))
	f.Add(tarred(f, entry{name: "l", content: "..", link: true}, entry{name: "l/x", content: "x"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "in")
		require.NoError(t, os.WriteFile(file, archive, 0o600))
		_ = unpack(file, "http://x/y.zip", filepath.Join(dir, "out"), 1<<20)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.LessOrEqual(t, len(entries), 2)
	})
}

func FuzzEntryNamesStayInsideTheDirectory(f *testing.F) {
	for _, name := range []string{"a", "a/b", "../a", "/a", "a/../..", "", ".", "a\x00b", `a\..\b`} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		u := &unpacker{}
		clean, err := u.checkName(name)
		if err == nil {
			require.True(t, filepath.IsLocal(clean), name)
		}
	})
}
