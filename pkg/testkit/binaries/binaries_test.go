package binaries

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllEmbeddedFilesAreWritten(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, layOut(dir))
	entries, err := sources.ReadDir("supervisor")
	require.NoError(t, err)
	for _, e := range entries {
		require.FileExists(t, filepath.Join(dir, "supervisor", e.Name()))
	}
	for _, file := range []string{"go.mod", "go.sum", "tools.go", "etcd/main.go"} {
		require.FileExists(t, filepath.Join(dir, file))
	}
}

func TestModuleRequiresTheDocumentedVersions(t *testing.T) {
	data, err := sources.ReadFile("module/go.mod.txt")
	require.NoError(t, err)
	for _, required := range []string{
		"k8s.io/kubernetes " + KubernetesVersion, "go.etcd.io/etcd/server/v3 v" + EtcdVersion,
		"sigs.k8s.io/kwok " + KwokVersion,
	} {
		require.Contains(t, string(data), "\t"+required+"\n")
	}
}

// supervisorOnly returns the artifact that is built fastest.
func supervisorOnly(t *testing.T) ([]artifact, *Set) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.Mkdir(dir, 0o755))
	return []artifact{artifacts[0]}, &Set{Dir: dir}
}

func buildsOf(t *testing.T, set *Set) []string {
	t.Helper()
	left, err := filepath.Glob(set.Dir + buildingSuffix + "*")
	require.NoError(t, err)
	return left
}

func TestConcurrentBuildsBuildOnce(t *testing.T) {
	missing, set := supervisorOnly(t)
	var progress [3]bytes.Buffer
	var group sync.WaitGroup
	for i := range progress {
		group.Go(func() {
			if err := buildLocked(t.Context(), set, missing, &progress[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	built := 0
	for i := range progress {
		built += strings.Count(progress[i].String(), "supervisor: done")
	}
	require.Equal(t, 1, built)
	require.FileExists(t, filepath.Join(set.Dir, Supervisor))
	require.Empty(t, buildsOf(t, set))
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	_, set := supervisorOnly(t)
	require.NoError(t, os.Mkdir(set.Dir+buildingSuffix+"killed", 0o755))
	err := buildLocked(t.Context(), set, []artifact{{name: "missing", pkg: "./missing"}}, &bytes.Buffer{})
	require.ErrorContains(t, err, "missing: go build ./missing")
	entries, err := os.ReadDir(set.Dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Empty(t, buildsOf(t, set))
}

func TestBuildEndsWithItsContext(t *testing.T) {
	missing, set := supervisorOnly(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, buildLocked(ctx, set, missing, &bytes.Buffer{}), context.Canceled)
}

func TestInstalledProgramsMustHaveTheRightVersion(t *testing.T) {
	assets, path := t.TempDir(), t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	t.Setenv("PATH", path+string(os.PathListSeparator)+os.Getenv("PATH"))
	program := func(dir, name, answer string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\necho '"+answer+"'\n"), 0o755))
		return file
	}
	etcd := program(assets, Etcd, "etcd Version: 3.6.9")
	program(assets, APIServer, "Kubernetes v1.31.0")
	scheduler := program(path, Scheduler, "Kubernetes v1.36.0")

	set, progress := &Set{Dir: t.TempDir(), paths: map[string]string{}}, &bytes.Buffer{}
	missing := set.locate(t.Context(), progress)
	require.Equal(t, etcd, set.Path(Etcd))
	require.Equal(t, scheduler, set.Path(Scheduler))
	require.Equal(t, filepath.Join(set.Dir, APIServer), set.Path(APIServer))
	require.Contains(t, progress.String(), `does not report version "Kubernetes v1.36."`)
	var names []string
	for _, a := range missing {
		names = append(names, a.name)
	}
	require.Subset(t, names, []string{Supervisor, "stages", APIServer})
	require.NotContains(t, names, Etcd)
}
