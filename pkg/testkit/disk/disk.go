//go:build linux

package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
)

// inNamespace is set in the test process that has its own mount namespace.
const inNamespace = "WEIR_TEST_MOUNT_NAMESPACE"

// Main runs the tests of a package in their own mount namespace.
func Main(m *testing.M) {
	Enter()
	os.Exit(m.Run())
}

// Enter makes TestMain continue in a process with its own mount namespace. It is for packages whose TestMain does more
// than Main. Without root it does nothing.
func Enter() {
	if os.Getuid() != 0 || os.Getenv(inNamespace) != "" {
		return
	}
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), inNamespace+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "run the tests in a mount namespace:", err)
		os.Exit(1)
	}
	os.Exit(command.ProcessState.ExitCode())
}

// Need skips a test that cannot mount file systems, and says what is missing.
func Need(t testing.TB, types ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		testkit.Skip(t, "mounts need root: run the test as root")
	}
	if os.Getenv(inNamespace) == "" {
		t.Fatal("the test package needs a TestMain that calls disk.Main")
	}
	needPrograms(t, types...)
}

func needPrograms(t testing.TB, types ...string) {
	t.Helper()
	for _, name := range types {
		if _, err := exec.LookPath("mkfs." + name); err != nil {
			testkit.Skip(t, "mkfs."+name+" is missing: install the package "+packages[name])
		}
	}
}

var packages = map[string]string{"xfs": "xfsprogs", "ext4": "e2fsprogs"}

// Disk is a file system in a file.
type Disk struct {
	t testing.TB
	// Type of the file system.
	Type string
	// Image is the file with the file system.
	Image string
}

// minimum is the smallest size in MiB that mkfs.xfs accepts. The files are sparse.
const minimum = 320

// New creates a file system of the type xfs or ext4.
func New(t testing.TB, fileSystem string) *Disk {
	t.Helper()
	Need(t, fileSystem)
	return NewIn(t, fileSystem)
}

// NewIn is New for a test process that already has a mount namespace of its own.
func NewIn(t testing.TB, fileSystem string) *Disk {
	t.Helper()
	return NewSized(t, fileSystem, minimum)
}

// NewSized is NewIn for a file system of a size in MiB.
func NewSized(t testing.TB, fileSystem string, mebibytes int64) *Disk {
	t.Helper()
	needPrograms(t, fileSystem)
	image := filepath.Join(t.TempDir(), fileSystem)
	file, err := os.Create(image)
	if err == nil {
		err = errors.Join(file.Truncate(mebibytes<<20), file.Close())
	}
	if err != nil {
		t.Fatalf("create %s: %v", image, err)
	}
	if output, err := exec.CommandContext(t.Context(), "mkfs."+fileSystem, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s %s: %v\n%s", fileSystem, image, err, output)
	}
	return &Disk{t: t, Type: fileSystem, Image: image}
}

// Mount mounts the file system at a directory until the end of the test. options are those of the file system.
func (d *Disk) Mount(point string, options ...string) {
	d.t.Helper()
	device, err := attach(d.Image)
	if err != nil {
		d.t.Fatalf("attach %s to a loop device: %v", d.Image, err)
	}
	// The loop device is released with its last user.
	defer func() { _ = device.Close() }()
	err = unix.Mount(device.Name(), point, d.Type, 0, strings.Join(options, ","))
	if err != nil {
		d.t.Fatalf("mount %s at %s: %v", device.Name(), point, err)
	}
	d.t.Cleanup(func() {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			d.t.Errorf("unmount %s: %v", point, err)
		}
	})
}

// Unmount unmounts a directory, even if it is in use.
func (d *Disk) Unmount(point string) {
	d.t.Helper()
	if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
		d.t.Fatalf("unmount %s: %v", point, err)
	}
}

// ReadOnly remounts the file system read-only, or writable again.
func (d *Disk) ReadOnly(point string, readOnly bool) {
	d.t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", point, "", flags, ""); err != nil {
		d.t.Fatalf("remount %s: %v", point, err)
	}
}

// Shutdown makes the file system fail as after an I/O error of its device: every access returns EIO.
func (d *Disk) Shutdown(point string) {
	d.t.Helper()
	file, err := os.Open(point)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	// The request is the same for XFS and ext4; 2 does not write the log.
	const goingDown = 0x8004587d
	if err := unix.IoctlSetPointerInt(int(file.Fd()), goingDown, 2); err != nil {
		d.t.Fatalf("shut down the file system at %s: %v", point, err)
	}
}

// Fill uses all space that is available to users.
func (d *Disk) Fill(point string) (release func()) {
	d.t.Helper()
	file, err := os.Create(filepath.Join(point, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	offset := int64(0)
	for size := int64(minimum << 20); size >= 4096; {
		if err := unix.Fallocate(int(file.Fd()), 0, offset, size); err != nil {
			if size /= 2; !errors.Is(err, unix.ENOSPC) {
				d.t.Fatalf("fill %s: %v", point, err)
			}
			continue
		}
		offset += size
	}
	return func() {
		d.t.Helper()
		if err := os.Remove(file.Name()); err != nil {
			d.t.Fatal(err)
		}
		// Otherwise the file is there again after Shutdown, if its creation was in the log and its removal was not.
		d.Sync(point)
	}
}

// Sync writes the log and the data of the file system to the disk.
func (d *Disk) Sync(point string) {
	d.t.Helper()
	directory, err := os.Open(point)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = directory.Close() }()
	if err := unix.Syncfs(int(directory.Fd())); err != nil {
		d.t.Fatalf("sync %s: %v", point, err)
	}
}

// attach returns an open loop device with the content of a file.
func attach(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = backing.Close() }()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = control.Close() }()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	// Another process may take a free device first.
	const attempts = 50
	for range attempts {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &config); err == nil {
			return device, nil
		}
		_ = device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("configure %s: %w", device.Name(), err)
		}
	}
	return nil, errors.New("other processes took all free loop devices")
}
