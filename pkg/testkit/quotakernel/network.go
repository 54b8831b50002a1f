//go:build linux

package quotakernel

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel/tunnel"
)

// connect returns the two ends of a tunnel to a control plane, and writes its credentials to the shared directory.
// User-mode Linux has no network without privileges on the machine, but it has terminals: the connections share one.
func connect(cp *testkit.ControlPlane, shared string) (machine, terminal *os.File, err error) {
	address, err := hostOf(cp.RESTConfig().Host)
	if err == nil {
		err = cp.Share(filepath.Join(shared, controlPlaneDirectory))
	}
	if err != nil {
		return nil, nil, err
	}
	directory := filepath.Join(shared, tunnelDirectory)
	if err := os.Mkdir(directory, 0o700); err != nil {
		return nil, nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	machine, terminal = os.NewFile(uintptr(ends[0]), "tunnel"), os.NewFile(uintptr(ends[1]), "terminal")
	tunnel.Serve(machine, directory, func() (net.Conn, error) { return net.Dial("tcp", address) })
	return machine, terminal, nil
}

// forward makes an address of the machine available to the tests.
func forward(address string) error {
	host, err := hostOf(address)
	if err != nil {
		return err
	}
	stream, err := openTerminal()
	if err != nil {
		return err
	}
	if err := StartLoopback(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", host)
	if err != nil {
		return err
	}
	tunnel.Forward(stream, filepath.Join(exchange, tunnelDirectory), listener)
	return nil
}

func hostOf(address string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return parsed.Host, nil
}

// openTerminal opens the terminal that is connected to the machine. Its bytes are not changed.
func openTerminal() (*os.File, error) {
	const major, minor = 4, 1
	name := filepath.Join(scratch, "terminal")
	if err := unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor))); err != nil { //nolint:gosec // small
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	settings := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B38400}
	settings.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &settings); err != nil {
		return nil, fmt.Errorf("set the mode of %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// StartLoopback starts the loopback interface of this network namespace.
func StartLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("start the loopback interface: %w", err)
	}
	return nil
}
