package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// set returns a set with one task for each word.
func set(t *testing.T, generation string, words ...string) Set {
	t.Helper()
	var configs []contract.TaskConfig
	for _, w := range words {
		configs = append(
			configs,
			contract.TaskConfig{Connector: map[string]string{"name": "x"}, Task: map[string]string{"word": w}},
		)
	}
	s, err := NewSet(generation, configs)
	require.NoError(t, err)
	return s
}

func TestEqualTaskConfigsHaveEqualFiles(t *testing.T) {
	a, b := map[string]string{}, map[string]string{}
	for i := range 100 {
		a[strings.Repeat("k", i+1)] = "v"
		b[strings.Repeat("k", 100-i)] = "v"
	}
	first, err := NewSet("1", []contract.TaskConfig{{Connector: a, Task: b}})
	require.NoError(t, err)
	second, err := NewSet("1", []contract.TaskConfig{{Connector: b, Task: a}})
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.NotEqual(t, first.Hash, set(t, "1", "a").Hash)
	require.Equal(t, set(t, "1", "a").Hash, set(t, "2", "a").Hash, "the hash depends on the configs only")
}

func TestTaskConfigsLargerThanASecretAreRefused(t *testing.T) {
	half := contract.TaskConfig{
		Connector: map[string]string{},
		Task:      map[string]string{"x": strings.Repeat("x", MaxBytes/2-100)},
	}
	_, err := NewSet("1", []contract.TaskConfig{half, half})
	require.NoError(t, err)
	_, err = NewSet("1", []contract.TaskConfig{half, half, {Task: map[string]string{"x": strings.Repeat("x", 200)}}})
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "3 tasks have")
}

func TestDirectoryContainsTheDataOfTheSecret(t *testing.T) {
	dir := Dir{Path: filepath.Join(t.TempDir(), "out")}
	changed, err := dir.Publish(t.Context(), set(t, "1", "a", "b", "c"))
	require.NoError(t, err)
	require.True(t, changed)
	changed, err = dir.Publish(t.Context(), set(t, "1", "a", "b", "c"))
	require.NoError(t, err)
	require.False(t, changed)
	changed, err = dir.Publish(t.Context(), set(t, "2", "a"))
	require.NoError(t, err)
	require.True(t, changed)
	entries, err := os.ReadDir(dir.Path)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{AnnotationsFile, "task-0.json"}, names)
}

func TestExactlyOnceSourceSetsTheAnnotation(t *testing.T) {
	plain, exact := set(t, "1", "a"), set(t, "1", "a")
	exact.ExactlyOnce = true
	require.NotContains(t, plain.annotations(), contract.AnnotationExactlyOnce)
	require.Equal(t, "true", exact.annotations()[contract.AnnotationExactlyOnce])
}
