package jvm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOptionsAreUsedOnlyByTheVersionOfJavaThatAcceptedThem(t *testing.T) {
	for _, test := range []struct {
		name          string
		release, file string
		want          []string
	}{
		{"the same version", "IMPLEMENTOR=\"x\"\nJAVA_RUNTIME_VERSION=\"17.0.15+6\"\n", "17.0.15+6\n-XX:A=0\n-XX:B=1\n",
			[]string{"-XX:A=0", "-XX:B=1"}},
		{"no options", "JAVA_RUNTIME_VERSION=\"17.0.15+6\"\n", "17.0.15+6\n", []string{}},
		{"another version", "JAVA_RUNTIME_VERSION=\"17.0.8+7\"\n", "17.0.15+6\n-XX:A=0\n", nil},
		{"an unknown version", "JAVA_VERSION=\"17.0.15\"\n", "17.0.15+6\n-XX:A=0\n", nil},
		{"an empty file", "JAVA_RUNTIME_VERSION=\"17.0.15+6\"\n", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(home, "bin"), 0o755))
			java := filepath.Join(home, "bin", "java")
			require.NoError(t, os.WriteFile(java, []byte("#!/bin/sh\n"), 0o755))
			link := filepath.Join(t.TempDir(), "java")
			require.NoError(t, os.Symlink(java, link))
			require.NoError(t, os.WriteFile(filepath.Join(home, "release"), []byte(test.release), 0o600))
			file := filepath.Join(home, "jvm.options")
			require.NoError(t, os.WriteFile(file, []byte(test.file), 0o600))
			require.Equal(t, test.want, options(link, file))
			require.Nil(t, options(link, filepath.Join(home, "none")))
			require.Nil(t, options(filepath.Join(home, "none"), file))
		})
	}
}
