//go:build linux

package quotakernel

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
)

const (
	scratch   = "/mnt"
	exchange  = scratch + "/shared"
	temporary = scratch + "/tmp"
)

// boot is init of the kernel: it runs the tests and powers off.
func boot(shared string) {
	if err := initialize(shared); err != nil {
		fmt.Println("init:", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	// A return of init panics the kernel, which ends it too.
	os.Exit(1)
}

func initialize(shared string) error {
	for _, mount := range []struct{ source, target, fileSystem, options string }{
		{"proc", "/proc", "proc", ""},
		{"sysfs", "/sys", "sysfs", ""},
		{"tmpfs", scratch, "tmpfs", "size=80%"},
		{"none", exchange, "hostfs", shared},
	} {
		if mount.target == exchange {
			for _, directory := range []string{exchange, temporary} {
				if err := os.Mkdir(directory, 0o700); err != nil {
					return err
				}
			}
		}
		if err := unix.Mount(mount.source, mount.target, mount.fileSystem, 0, mount.options); err != nil {
			return fmt.Errorf("mount %s at %s: %w", mount.fileSystem, mount.target, err)
		}
	}
	for _, module := range []string{"drivers/block/loop.ko", "fs/fuse/fuse.ko"} {
		if err := load(module); err != nil {
			return err
		}
	}
	code, err := runTests()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(exchange, codeFile), []byte(strconv.Itoa(code)), 0o600)
}

// load loads a module of the kernel.
func load(module string) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join("/usr/lib/uml/modules", unix.ByteSliceToString(name.Release[:]),
		"kernel", module))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil {
		return fmt.Errorf("load %s: %w", file.Name(), err)
	}
	return nil
}

// runTests starts the test process and returns its exit code. Its output is a file: the console changes line ends.
func runTests() (int, error) {
	content, err := os.ReadFile(filepath.Join(exchange, processFile))
	if err != nil {
		return 0, err
	}
	var tests process
	if err := json.Unmarshal(content, &tests); err != nil {
		return 0, err
	}
	env := append(slices.Clone(tests.Env), kernelVariable+"="+inside, "TMPDIR="+temporary)
	if tests.ControlPlane != "" {
		if err := forward(tests.ControlPlane); err != nil {
			return 0, fmt.Errorf("connect to the control plane: %w", err)
		}
		env = append(env, testkit.AttachVariable+"="+filepath.Join(exchange, controlPlaneDirectory))
	}
	output, err := os.OpenFile(filepath.Join(exchange, outputFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = output.Close() }()
	command := exec.Command(tests.Path, tests.Arguments...)
	command.Dir, command.Stdout, command.Stderr = tests.Directory, output, output
	command.Env = env
	if err := command.Run(); err != nil && command.ProcessState == nil {
		return 0, err
	}
	return command.ProcessState.ExitCode(), nil
}
