package jvm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// options returns the JVM options in file, which the build of the image writes. A JVM does not start with an option
// that it does not know, so the options are used only by the version of Java that was asked then: the first line of the
// file.
func options(java, file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	lines := strings.Fields(string(text))
	if len(lines) == 0 || lines[0] != runtimeVersion(java) {
		return nil
	}
	return lines[1:]
}

// runtimeVersion returns JAVA_RUNTIME_VERSION of the Java installation that the launcher belongs to, or "" if it is
// unknown.
func runtimeVersion(java string) string {
	path, err := exec.LookPath(java)
	if err != nil {
		return ""
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return ""
	}
	release, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "release"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(release)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "JAVA_RUNTIME_VERSION="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
