//go:build linux

package quotakernel

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

const (
	// kernelVariable selects the kernel: host, or inside for a process that runs under user-mode Linux.
	kernelVariable = "WEIR_QUOTA_KERNEL"
	host, inside   = "host", "inside"
	// sharedVariable is the directory through which init and the machine exchange files.
	sharedVariable = "WEIR_QUOTA_KERNEL_SHARED"
	program        = "linux.uml"
	// preparedVariable is set when the machine has been prepared.
	preparedVariable = "WEIR_QUOTA_KERNEL_PREPARED"
	// memoryVariable is the memory of the kernel. It is an upper limit: the machine provides only what is used.
	memoryVariable = "WEIR_QUOTA_KERNEL_MEMORY"
	memory         = "2G"
)

// Names of the files in the shared directory.
const (
	processFile = "process.json"
	outputFile  = "output"
	codeFile    = "code"
	// controlPlaneDirectory has the credentials of the control plane.
	controlPlaneDirectory = "control-plane"
	tunnelDirectory       = "tunnel"
)

// process is the test process to start.
type process struct {
	Path, Directory string
	Arguments, Env  []string
	// ControlPlane is the address of the control plane on the machine, if there is one.
	ControlPlane string
}

// Main runs the tests of a package on a kernel with XFS project quota.
func Main(m *testing.M) { MainWith(m, disk.Main) }

// MainWith is Main with another main function for the process on that kernel.
func MainWith(m *testing.M, runTests func(*testing.M)) {
	kernel := os.Getenv(kernelVariable)
	switch {
	case isInit():
		boot(os.Getenv(sharedVariable))
	case kernel == host || kernel == inside:
		runTests(m)
	case missing() != "":
		// The tests skip with this reason.
		os.Exit(m.Run())
	}
	exit(run(nil))
}

// MainWithControlPlane is MainWith for tests that use testkit.Shared. The control plane runs on the machine: on the
// kernel of the tests it would be very slow. prepare is called on the machine before, for example to build programs;
// optional. The options are those of the control plane, unless the tests run on the kernel of the machine.
func MainWithControlPlane(
	m *testing.M, runTests func(*testing.M), prepare func() error, options ...testkit.Option,
) {
	kernel := os.Getenv(kernelVariable)
	if os.Getpid() == 1 || kernel == inside || os.Getenv(preparedVariable) != "" {
		MainWith(m, runTests)
	}
	flag.Parse()
	switch {
	case testing.Short() || kernel != host && missing() != "":
		// The tests skip with the reason.
		os.Exit(m.Run())
	case prepare != nil:
		if err := prepare(); err != nil {
			exit(1, fmt.Errorf("prepare the tests: %w", err))
		}
	}
	if kernel == host {
		if err := os.Setenv(preparedVariable, "true"); err != nil {
			exit(1, err)
		}
		MainWith(m, runTests)
	}
	o := testkit.Options{Nodes: testkit.SharedNodes}
	for _, option := range options {
		option(&o)
	}
	cp, err := testkit.Start(context.Background(), o)
	if err != nil {
		exit(1, fmt.Errorf("start the control plane: %w", err))
	}
	code, err := run(cp)
	exit(code, errors.Join(err, cp.Err(), cp.Stop()))
}

func exit(code int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "run the tests under user-mode Linux:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// missing says what the machine lacks.
func missing() string {
	for command, name := range map[string]string{program: "user-mode-linux", "mkfs.xfs": "xfsprogs"} {
		if _, err := exec.LookPath(command); err != nil {
			return command + " is missing: install the package " + name
		}
	}
	return ""
}

// Inside reports whether this process runs under user-mode Linux. It may be init, which has no other variables: a
// TestMain must not end it.
func Inside() bool { return os.Getenv(kernelVariable) == inside || isInit() }

// isInit reports whether this process is init of the kernel.
func isInit() bool { return os.Getpid() == 1 && os.Getenv(sharedVariable) != "" }

// Need skips a test that cannot run on this machine, and says what is missing.
func Need(t testing.TB) {
	t.Helper()
	if kernel := os.Getenv(kernelVariable); kernel == host || kernel == inside {
		return
	}
	reason := missing()
	if reason == "" {
		t.Fatal("the test package needs a TestMain that calls quotakernel.Main")
	}
	testkit.Skip(t, reason)
}

// New creates an XFS file system and mounts it with project quota until the end of the test. A test that cannot run on
// this machine is skipped.
func New(t testing.TB) (d *disk.Disk, point string) {
	t.Helper()
	Need(t)
	d, point = disk.New(t, "xfs"), t.TempDir()
	d.Mount(point, "prjquota")
	return d, point
}

// run starts this test binary under user-mode Linux and returns its exit code. The tests can use cp, which may be nil.
func run(cp *testkit.ControlPlane) (code int, err error) {
	shared, err := os.MkdirTemp("", "quotakernel")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(shared)) }()
	this, err := self()
	if err != nil {
		return 0, err
	}
	var machine, terminal *os.File
	if cp != nil {
		if machine, terminal, err = connect(cp, shared); err != nil {
			return 0, err
		}
		defer func() { _ = machine.Close() }()
		this.ControlPlane = cp.RESTConfig().Host
	}
	content, err := json.Marshal(this)
	if err == nil {
		err = os.WriteFile(filepath.Join(shared, processFile), content, 0o600)
	}
	if err != nil {
		return 0, err
	}
	command := exec.Command(program, "mem="+cmp.Or(os.Getenv(memoryVariable), memory),
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
		"init="+this.Path, sharedVariable+"="+shared, "con=null", "con0=fd:0,fd:1", "quiet", "loglevel=4", withoutVectors)
	if terminal != nil {
		// The first of these files has the number 3.
		command.ExtraFiles = []*os.File{terminal}
		command.Args = append(command.Args, "con1=fd:3,fd:3")
		defer func() { _ = terminal.Close() }()
	}
	// The death signal is sent when the thread ends, and the filter holds for the thread: it is kept for this process.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if largeRegisters() {
		if err := hideExtendedRegisters(); err != nil {
			return 0, fmt.Errorf("filter ptrace: %w", err)
		}
	}
	var console bytes.Buffer
	command.Stdout, command.Stderr = &console, &console
	if err := command.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	failed, err := show(filepath.Join(shared, outputFile), ended)
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", errors.Join(failed, err), console.Bytes())
	}
	text, err := os.ReadFile(filepath.Join(shared, codeFile))
	if err != nil {
		return 0, fmt.Errorf("the kernel stopped before the tests: %w\n%s", errors.Join(failed, err), console.Bytes())
	}
	return strconv.Atoi(string(text))
}

// show copies the output of the tests to the standard output until the kernel has ended, and returns how it ended. That
// kernel writes a file late, or when its writer calls Sync.
func show(name string, ended <-chan error) (failed, err error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var output *os.File
	for over := false; !over; {
		select {
		case failed = <-ended:
			over = true
		case <-ticker.C:
		}
		if output == nil {
			if output, err = os.Open(name); err != nil {
				continue
			}
			defer func() { _ = output.Close() }()
		}
		if _, err = io.Copy(os.Stdout, output); err != nil && !over {
			failed, over = <-ended, true
		}
	}
	return failed, err
}

// self describes this process. The file system of the machine is read-only under user-mode Linux, so options that write
// files for the go command are left out.
func self() (process, error) {
	this := process{Env: os.Environ()}
	if largeRegisters() {
		this.Env = append(this.Env, withoutVectors, withoutLibraryVectors, withoutCryptoVectors)
	}
	var err error
	if this.Path, err = os.Executable(); err != nil {
		return this, err
	}
	if this.Directory, err = os.Getwd(); err != nil {
		return this, err
	}
	for _, argument := range os.Args[1:] {
		if !strings.HasPrefix(argument, "-test.testlogfile=") {
			this.Arguments = append(this.Arguments, argument)
		}
	}
	return this, nil
}
