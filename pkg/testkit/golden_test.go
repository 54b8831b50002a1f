package testkit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

// recorder is a testing.TB whose failures are recorded.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestGoldenWritesOrComparesFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "golden", "two.yaml")
	t.Setenv("UPDATE_GOLDEN", "1")
	testkit.Golden(t, path, map[string]string{"a": "b"}, map[string]int{"c": 1})
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "a: b\n---\nc: 1\n", string(data))

	t.Setenv("UPDATE_GOLDEN", "")
	testkit.Golden(t, path, map[string]string{"a": "b"}, map[string]int{"c": 1})
	r := &recorder{TB: t}
	testkit.Golden(r, path, map[string]string{"a": "b"})
	require.True(t, r.failed)
}
