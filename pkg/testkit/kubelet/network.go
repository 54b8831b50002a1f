//go:build linux

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// network is the network namespace of a pod.
type network struct {
	// address is the address of the pod. Only its own containers reach it.
	address   string
	file      *os.File
	listeners []net.Listener
	relays    sync.WaitGroup
}

// newNetwork returns a network namespace with a loopback interface, where ports of this machine's loopback address are
// reachable at 127.0.0.1.
func newNetwork(ctx context.Context, address string, ports []int) (*network, error) {
	n := &network{address: address}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("create a network namespace: %w", err)
		}
		if err := startLoopback(address); err != nil {
			return err
		}
		var err error
		if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		for _, port := range ports {
			var config net.ListenConfig
			listener, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return fmt.Errorf("forward port %d: %w", port, err)
			}
			n.listeners = append(n.listeners, listener)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	for _, listener := range n.listeners {
		n.relays.Go(func() { n.relay(listener) })
	}
	return n, nil
}

// relay connects each connection to the same port of this machine.
func (n *network) relay(listener net.Listener) {
	for {
		inside, err := listener.Accept()
		if err != nil {
			return
		}
		n.relays.Go(func() {
			defer inside.Close()
			outside, err := net.Dial("tcp4", listener.Addr().String())
			if err != nil {
				return
			}
			defer outside.Close()
			var directions sync.WaitGroup
			for _, pair := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
				directions.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].(*net.TCPConn).CloseWrite()
				})
			}
			directions.Wait()
		})
	}
}

// dial connects to an address in the namespace.
func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	var connection net.Conn
	err := onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		// One address and no fallback: the dialer creates the socket on this thread.
		dialer := net.Dialer{Timeout: 5 * time.Second, FallbackDelay: -1}
		var err error
		connection, err = dialer.DialContext(ctx, "tcp4", address)
		return err
	})
	return connection, err
}

func (n *network) close() error {
	var errs []error
	for _, listener := range n.listeners {
		errs = append(errs, listener.Close())
	}
	if n.file != nil {
		errs = append(errs, n.file.Close())
	}
	return errors.Join(errs...)
}

// onThread runs a function that changes the namespaces of its thread. The thread ends with it.
func onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- f()
	}()
	return <-result
}

// startLoopback starts the loopback interface and gives it a second address.
func startLoopback(address string) error {
	if err := quotakernel.StartLoopback(); err != nil {
		return err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	alias, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	if err := alias.SetInet4Addr(net.ParseIP(address).To4()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFADDR, alias); err != nil {
		return fmt.Errorf("add the address %s to the loopback interface: %w", address, err)
	}
	return nil
}
