//go:build linux

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestDebianPackageInstallsQuotadAndItsUnit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short mode: this test builds the package")
	}
	if os.Getuid() != 0 {
		testkit.Skip(t, "chroot needs root: run the test as root")
	}
	for command, pkg := range map[string]string{"dpkg-deb": "dpkg", "busybox": "busybox-static"} {
		if _, err := exec.LookPath(command); err != nil {
			testkit.Skip(t, command+" is missing: install the package "+pkg)
		}
	}
	dir := t.TempDir()
	output(t, root("scripts/package"), "v0.1.0-rc.1", dir, runtime.GOARCH)
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	require.NoError(t, err)
	require.Len(t, packages, 1)
	require.Equal(t, "0.1.0~rc.1", strings.TrimSpace(output(t, "dpkg-deb", "-f", packages[0], "Version")))
	content := output(t, "dpkg-deb", "-c", packages[0])
	for _, file := range []string{"./usr/bin/quotad", "./usr/lib/systemd/system/quotad.service", "./etc/default/quotad"} {
		require.Contains(t, content, file)
	}

	// An installation runs the scripts of the package with a shell in the new root.
	to := filepath.Join(dir, "root")
	for _, name := range []string{"bin", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/quotad", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(to, name), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(to, "var/lib/dpkg/status"), nil, 0o600))
	shell, err := exec.LookPath("busybox")
	require.NoError(t, err)
	output(t, "cp", shell, filepath.Join(to, "bin/sh"))
	output(t, "cp", shell, filepath.Join(to, "bin/rm"))
	output(t, "dpkg", "--root="+to, "--install", packages[0])
	require.Contains(t, output(t, "chroot", to, "/usr/bin/quotad", "--help"), "standalone")
	output(t, "dpkg", "--root="+to, "--remove", "quotad")
	require.NoFileExists(t, filepath.Join(to, "usr/bin/quotad"))
	require.DirExists(t, filepath.Join(to, "var/lib/quotad"), "the records are kept until the package is purged")
	output(t, "dpkg", "--root="+to, "--purge", "quotad")
	require.NoDirExists(t, filepath.Join(to, "var/lib/quotad"))
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var failure bytes.Buffer
	command := exec.CommandContext(t.Context(), name, args...)
	command.Stderr = &failure
	out, err := command.Output()
	require.NoErrorf(t, err, "%s %v: %s%s", name, args, out, failure.String())
	return string(out)
}

func TestUnitAndDaemonSetHaveTheSameCapabilities(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(root("deploy/quotad/package/quotad.service"))
	require.NoError(t, err)
	match := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindSubmatch(unit)
	require.NotNil(t, match)
	manifest, err := os.ReadFile(root("deploy/quotad/daemonset.yaml"))
	require.NoError(t, err)
	var daemonSet appsv1.DaemonSet
	require.NoError(t, yaml.Unmarshal(manifest, &daemonSet))
	var inPod []string
	for _, capability := range daemonSet.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add {
		inPod = append(inPod, "CAP_"+string(capability))
	}
	require.ElementsMatch(t, slices.Collect(strings.FieldsSeq(string(match[1]))), inPod)
}

func TestSystemdAcceptsTheUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is missing: install the package systemd")
	}
	unit, err := os.ReadFile(root("deploy/quotad/package/quotad.service"))
	require.NoError(t, err)
	// The program is not installed here.
	name := filepath.Join(t.TempDir(), "quotad.service")
	require.NoError(t, os.WriteFile(name, bytes.Replace(unit, []byte("/usr/bin/quotad"), []byte("/bin/true"), 1), 0o600))
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", name).CombinedOutput()
	require.NoErrorf(t, err, "%s", out)
	require.NotContains(t, string(out), "quotad.service")
}
