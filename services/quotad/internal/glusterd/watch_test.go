//go:build linux

package glusterd

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/services/quotad/internal/inotify"
)

func TestChangesOfTheFilesOfGlusterdAreReported(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	dir := filepath.Join(above, "glusterd")
	write := func(name string) error {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		return os.WriteFile(name, []byte("a=b\n"), 0o600)
	}
	// glusterd replaces its files.
	replace := func(name string) error {
		if err := write(name + ".tmp"); err != nil {
			return err
		}
		return os.Rename(filepath.Join(dir, name+".tmp"), filepath.Join(dir, name))
	}
	require.NoError(t, write("glusterd.info"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- Watch(ctx, dir, func() { changed <- struct{}{} }) }()
	expect := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is not reported", what)
		}
	}
	expect("the begin")
	for _, step := range []struct {
		what   string
		change func() error
	}{
		{"the first volume", func() error { return replace("vols/v1/info") }},
		{"its first brick", func() error { return replace("vols/v1/bricks/a:-b") }},
		{"a changed brick", func() error { return replace("vols/v1/bricks/a:-b") }},
		{"an option", func() error { return replace("vols/v1/info") }},
		{"another volume", func() error { return replace("vols/v2/info") }},
		{"an option of the other volume", func() error { return replace("vols/v2/info") }},
		{"a deleted volume", func() error { return os.RemoveAll(filepath.Join(dir, "vols/v1")) }},
		{"the list of kadalu", func() error { return write("kadalustorage.info") }},
		{"its end", func() error { return os.Remove(filepath.Join(dir, "kadalustorage.info")) }},
	} {
		require.NoError(t, step.change(), step.what)
		expect(step.what)
		// One change can be reported more than once: the events of a moment are read later.
		for quiet := false; !quiet; {
			select {
			case <-changed:
			case <-time.After(3 * settle):
				quiet = true
			}
		}
	}
	require.NoError(t, os.Rename(dir, filepath.Join(above, "another")))
	require.ErrorIs(t, <-ended, errReplaced)
	require.ErrorIs(t, Watch(ctx, dir, func() {}), unix.ENOENT)
}

func TestOnlyFilesThatAreReadAreOfInterest(t *testing.T) {
	t.Parallel()
	w := watched{root: 1, names: map[int][]string{
		1: {"glusterd.info", managedFile, "vols"}, 2: {"info", "bricks"}, 3: nil,
	}}
	for name, of := range map[string]map[int]bool{
		"info": {1: false, 2: true, 3: true}, "info.tmp": {1: false, 2: false, 3: false}, "options": {1: false, 2: false},
		"glusterd.info": {1: true}, "vols": {1: true}, "node_state.info": {2: false}, "host:-brick": {3: true},
	} {
		for watch, want := range of {
			require.Equal(t, want, w.isOfInterest(inotify.Event{Watch: watch, Name: name}), "%s in %d", name, watch)
		}
	}
}
