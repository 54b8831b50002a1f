package publish

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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
			contract.TaskConfig{Connector: map[string]string{"name": "x"}, Task: map[string]*string{"word": &w}},
		)
	}
	s, err := NewSet(generation, configs, false)
	require.NoError(t, err)
	return s
}

func TestEqualTaskConfigsHaveEqualFiles(t *testing.T) {
	a, b := map[string]string{}, map[string]string{}
	x, y := map[string]*string{}, map[string]*string{}
	for i := range 100 {
		a[strings.Repeat("k", i+1)] = "v"
		b[strings.Repeat("k", 100-i)] = "v"
		x[strings.Repeat("k", i+1)] = new("v")
		y[strings.Repeat("k", 100-i)] = new("v")
	}
	first, err := NewSet("1", []contract.TaskConfig{{Connector: a, Task: y}}, false)
	require.NoError(t, err)
	second, err := NewSet("1", []contract.TaskConfig{{Connector: b, Task: x}}, false)
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.NotEqual(t, first.Hash, set(t, "1", "a").Hash)
	require.Equal(t, set(t, "1", "a").Hash, set(t, "2", "a").Hash, "the hash depends on the configs only")
}

func TestTaskConfigsLargerThanASecretAreRefused(t *testing.T) {
	half := contract.TaskConfig{
		Connector: map[string]string{},
		Task:      map[string]*string{"x": new(strings.Repeat("x", MaxBytes/2-100))},
	}
	_, err := NewSet("1", []contract.TaskConfig{half, half}, false)
	require.NoError(t, err)
	_, err = NewSet(
		"1",
		[]contract.TaskConfig{half, half, {Task: map[string]*string{"x": new(strings.Repeat("x", 200))}}},
		false,
	)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "3 tasks need")
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

func TestTypeOfTheConnectorIsAnAnnotation(t *testing.T) {
	plain, exact := set(t, "1", "a"), set(t, "1", "a")
	exact.ExactlyOnce = true
	sink := Set{Sink: true}
	require.Equal(t, "sink", sink.annotations()[contract.AnnotationConnectorType])
	require.Equal(t, "source", exact.annotations()[contract.AnnotationConnectorType])
	require.NotContains(t, plain.annotations(), contract.AnnotationExactlyOnce)
	require.Equal(t, "true", exact.annotations()[contract.AnnotationExactlyOnce])
}

// largeConfigs returns the configs of five tasks that need more than 1 MiB in the plain format.
func largeConfigs() []contract.TaskConfig {
	random := rand.New(rand.NewPCG(1, 2))
	connector := map[string]string{"connector.class": "C"}
	for i := range 300 {
		value := make([]byte, 1024)
		for j := range value {
			value[j] = byte('a' + random.IntN(26))
		}
		connector["setting."+strconv.Itoa(i)] = string(value)
	}
	var configs []contract.TaskConfig
	for id := range 5 {
		task := map[string]*string{"task.id": new(strconv.Itoa(id))}
		for key, value := range connector {
			task[key] = &value
		}
		configs = append(configs, contract.TaskConfig{Connector: connector, Task: task})
	}
	return configs
}

func TestLargeSetsUseTheCompactFormatIfTheTasksCanReadIt(t *testing.T) {
	large := largeConfigs()
	_, err := NewSet("1", large, false)
	require.ErrorIs(t, err, ErrTooLarge, "pods of an older connect-scheduler do not mount the common part")
	compact, err := NewSet("1", large, true)
	require.NoError(t, err)
	require.NotNil(t, compact.Tasks.Common)
	require.Less(t, compact.Tasks.Size(), MaxBytes)

	small, err := NewSet("1", large[:0], true)
	require.NoError(t, err)
	require.Nil(t, small.Tasks.Common, "every version reads small sets")
}
