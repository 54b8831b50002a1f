//go:build linux

package gluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// inNamespace is set in the test process that has its own namespaces.
const inNamespace = "WEIR_TEST_GLUSTER_NAMESPACE"

// Main runs the tests of a package in their own mount, process and network namespaces. Everything that they start and
// mount ends with the test process, and the ports of GlusterFS are free. m is the *testing.M of the package, or runs
// it.
func Main(m interface{ Run() int }) {
	if os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	if os.Getenv(inNamespace) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the namespaces of the tests:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if quotakernel.Inside() {
		// The kernel runs nothing else. As in a process namespace, the test process gets the bricks as children.
		reaper := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
		err := errors.Join(reaper, os.Setenv(inNamespace, "1"), provideDirectories(), replaceGeoReplication())
		if err != nil {
			fmt.Fprintln(os.Stderr, "prepare the tests:", err)
			os.Exit(1)
		}
		Main(m)
	}
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), inNamespace+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	err := command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "run the tests in their own namespaces:", err)
		os.Exit(1)
	}
	os.Exit(command.ProcessState.ExitCode())
}

// provideDirectories makes the directories writable that GlusterFS uses in any case.
func provideDirectories() error {
	for _, directory := range []string{"/tmp", "/run", "/var/log", "/var/lib/glusterd"} {
		err := unix.Mount("tmpfs", directory, "tmpfs", 0, "mode=0755")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("mount tmpfs at %s: %w", directory, err)
		}
	}
	return nil
}

// replaceGeoReplication replaces the program of geo-replication with one that prints its version. All commands of
// GlusterFS run it, and it is a Python program, which needs a second to start on the kernel with quota.
func replaceGeoReplication() error {
	programs, err := filepath.Glob("/usr/lib/*/glusterfs/gsyncd")
	if err != nil {
		return err
	}
	const replacement = "/run/gsyncd"
	if err := os.WriteFile(replacement, []byte("#!/bin/sh\necho gsyncd.py 10.3\n"), 0o700); err != nil {
		return err
	}
	for _, program := range programs {
		if err := unix.Mount(replacement, program, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("replace %s: %w", program, err)
		}
	}
	return nil
}

// MainWithQuota is Main on a kernel with XFS project quota, see [quotakernel].
func MainWithQuota(m *testing.M) { quotakernel.MainWith(m, func(m *testing.M) { Main(m) }) }

// MainWithQuotaAndControlPlane is MainWithQuota for tests that use testkit.Shared. prepare is called on the machine
// before the tests; optional. The options are those of quotakernel.MainWithControlPlane.
func MainWithQuotaAndControlPlane(m *testing.M, prepare func() error, options ...testkit.Option) {
	quotakernel.MainWithControlPlane(m, func(m *testing.M) { Main(shared{m}) }, prepare, options...)
}

// shared stops the control plane after the tests.
type shared struct{ m *testing.M }

func (s shared) Run() int { return testkit.Run(s.m) }

// enter makes the mounts private, mounts /proc of the process namespace and starts the loopback interface.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return quotakernel.StartLoopback()
}

// Need skips a test that cannot run GlusterFS, and says what is missing.
func Need(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("short mode: this test starts GlusterFS")
	}
	if os.Getuid() != 0 {
		testkit.Skip(t, "GlusterFS needs root: run the test as root")
	}
	if os.Getenv(inNamespace) == "" {
		t.Fatal("the test package needs a TestMain that calls gluster.Main")
	}
	for command, pkg := range map[string]string{
		"glusterd": "glusterfs-server", "glusterfs": "glusterfs-client", "mkfs.xfs": "xfsprogs",
	} {
		if _, err := exec.LookPath(command); err != nil {
			testkit.Skip(t, command+" is missing: install the package "+pkg)
		}
	}
}
