package tunnel_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel/tunnel"
)

func TestTunnelCarriesConnectionsBesideOneThatIsNotRead(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			// The server returns what it receives.
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	directory, err := os.MkdirTemp("", "weir-tunnel-")
	require.NoError(t, err)
	t.Cleanup(func() {
		// A connection can write another file while the tunnel ends.
		require.NoError(t, testkit.Poll(context.Background(), "the files to be removed", func(context.Context) error {
			return os.RemoveAll(directory)
		}))
	})
	machine, tests := net.Pipe()
	t.Cleanup(func() {
		_ = machine.Close()
		_ = tests.Close()
	})
	tunnel.Serve(machine, directory, func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) })
	local, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = local.Close() })
	tunnel.Forward(tests, directory, local)

	dial := func() net.Conn {
		conn, err := net.Dial("tcp", local.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	const size = 1 << 20
	stuck := dial()
	for range 4 {
		_, err := stuck.Write(make([]byte, size))
		require.NoError(t, err)
	}
	var all sync.WaitGroup
	for range 5 {
		conn, sent, got := dial(), make([]byte, size), make([]byte, size)
		_, err := rand.Read(sent)
		require.NoError(t, err)
		all.Go(func() {
			if _, err := conn.Write(sent); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(sent, got) {
				t.Errorf("the data differs: %v", err)
			}
		})
	}
	all.Wait()
	last := dial()
	_, err = last.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(last, make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	refused := dial()
	_, err = refused.Write([]byte("x"))
	require.NoError(t, err)
	_, err = refused.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "a connection that the machine refuses is closed")
}
