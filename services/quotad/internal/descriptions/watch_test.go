//go:build linux

package descriptions

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// watch watches a directory and returns a function that expects a path. Before it, only others and paths that were
// expected earlier may be reported.
func watch(t *testing.T, brick string) (expect func(path string, others ...string), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w, err := Watch(ctx, brick)
	require.NoError(t, err)
	const overflow = "overflow"
	changed, done := make(chan string, 1000), make(chan error, 1)
	go func() {
		done <- w.Run(ctx, Handler{
			Changed: func(path string) { changed <- path }, Overflowed: func() { changed <- overflow },
		})
	}()
	reported := map[string]bool{}
	return func(path string, others ...string) {
		t.Helper()
		for _, expected := range append(others, path) {
			reported[expected] = true
		}
		for {
			select {
			case got := <-changed:
				if got == path {
					return
				}
				// A file causes several events, some of them later than those of another file.
				require.True(t, reported[got], "%s is reported before %s", got, path)
			case <-time.After(10 * time.Second):
				t.Fatalf("%s is not reported", path)
			}
		}
	}, done
}

func TestDescriptionsThatAreCreatedWrittenOrRemovedAreReported(t *testing.T) {
	t.Parallel()
	brick := t.TempDir()
	name := func(file string) string { return filepath.Join(brick, decide.InfoRoot, file) }
	write := func(file string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(name(file)), 0o700))
		require.NoError(t, os.WriteFile(name(file), []byte("{}"), 0o600))
	}
	expect, _ := watch(t, brick)
	write("ab/cd/first.json")
	expect("subvol/ab/cd/first")
	write("ab/ce/second.json")
	expect("subvol/ab/ce/second")
	write("ff/00/third.json")
	expect("subvol/ff/00/third")
	write("ff/00/first.json")
	expect("subvol/ff/00/first")
	// Others are of no interest.
	write("ff/00/.temporary")
	write("ff/other/fourth.json")
	write("ff/00/00/fifth.json")
	write("ab/cd/first.json")
	expect("subvol/ab/cd/first")
	require.NoError(t, os.Remove(name("ab/ce/second.json")))
	expect("subvol/ab/ce/second")
	require.NoError(t, os.Rename(name("ff/00"), name("ff/01")))
	expect("overflow")
	expect("subvol/ff/01/third", "subvol/ff/01/first")
	require.NoError(t, os.RemoveAll(name("ab")))
	expect("subvol/ab/cd/first")
	write("ab/cd/first.json")
	expect("subvol/ab/cd/first")
}

func TestBrickWithVeryManyDirectoriesIsNotWatched(t *testing.T) {
	t.Parallel()
	brick := t.TempDir()
	add := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			directory := filepath.Join(brick, decide.InfoRoot, fmt.Sprintf("%02x/%02x", i/256, i%256))
			require.NoError(t, os.MkdirAll(directory, 0o700))
		}
	}
	add(0, 2000)
	_, ended := watch(t, brick)
	add(2000, 2100)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, ErrTooMany)
	case <-time.After(10 * time.Second):
		t.Fatal("the watch goes on")
	}
	_, err := Watch(t.Context(), brick)
	require.ErrorIs(t, err, ErrTooMany)
}
