// Package csitest runs csi-sanity, the conformance tests of the CSI specification, against a driver.
package csitest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weir-dev/weir/pkg/csi"
)

// Socket returns a path for a unix socket in a directory of the test. Paths of unix sockets are short.
func Socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "csi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "csi.sock")
}

// Serve serves a driver until the end of the test and returns a connection to it.
func Serve(t testing.TB, o csi.Options, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- csi.Serve(ctx, o, register) }()
	conn, err := grpc.NewClient("unix://"+o.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve at %s: %v", o.Socket, err)
		}
	})
	return conn
}

// Sanity runs csi-sanity against the driver at a socket. parameters are those of CreateVolume. change may change the
// configuration; optional.
func Sanity(t *testing.T, socket string, parameters map[string]string, change func(*sanity.TestConfig)) {
	config := sanity.NewTestConfig()
	dir := t.TempDir()
	config.Address = "unix://" + socket
	config.TargetPath = filepath.Join(dir, "target")
	config.StagingPath = filepath.Join(dir, "staging")
	config.TestVolumeParameters = parameters
	config.TestSnapshotParameters = map[string]string{}
	config.IdempotentCount = 3
	config.TestNodeVolumeAttachLimit = false
	config.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	config.ControllerDialOptions = config.DialOptions
	config.RemovePathCmdTimeout = 10 * time.Second
	config.CreatePathCmdTimeout = 10 * time.Second
	if change != nil {
		change(&config)
	}
	sanity.Test(t, config)
}
