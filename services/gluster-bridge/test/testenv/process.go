//go:build linux

package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	csispec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/csi/csitest"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit/process"
	glusterbridge "github.com/weir-dev/weir/services/gluster-bridge/internal/app"
)

// asController is set in a copy of the test process that runs the controller instead of tests.
const asController = "WEIR_TEST_GLUSTER_BRIDGE"

// runController runs the command if the process is a copy for it.
func runController() {
	if os.Getenv(asController) != "" {
		os.Exit(app.Main(glusterbridge.Command())) //nolint:forbidigo // the copy of the test process is a program
	}
}

// Program is gluster-bridge in a process of its own, which can be killed.
type Program struct {
	arguments []string
	command   *exec.Cmd
	log       *os.File
}

// NewProgram prepares a process with these arguments. It ends with the test.
func NewProgram(t *testing.T, arguments ...string) *Program {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	p := &Program{log: log, arguments: arguments}
	t.Cleanup(func() {
		p.Kill()
		_ = log.Close()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("the end of the log of gluster-bridge %s:\n%s", arguments[0], data[max(0, len(data)-4000):])
		}
	})
	return p
}

// Process is the controller in a process of its own. Its clients and mounts stay when it is killed, as they do on a
// node when only the controller ends.
type Process struct {
	csispec.ControllerClient
	*Program
}

// Process prepares a controller process and a client of it. Start starts it.
func (e *Env) Process(t *testing.T, flags ...string) *Process {
	t.Helper()
	dir, endpoint := t.TempDir(), csitest.Socket(t)
	t.Cleanup(func() {
		// The clients do not end with the process. A mount that stays would let the removal of the directory delete all data.
		UnmountBelow(filepath.Join(dir, "mounts"))
	})
	return &Process{csispec.NewControllerClient(Dial(t, endpoint)), NewProgram(t, append([]string{
		"controller", "--kubeconfig=" + Kubeconfig(t, e.Account), "--endpoint=unix://" + endpoint, "--metrics-address=",
		"--mount-directory=" + filepath.Join(dir, "mounts"), "--log-directory=" + dir, "--storage-timeout=20s",
		"--probe-interval=1s", "--kube-api-qps=1000", "--kube-api-burst=2000",
	}, flags...)...)}
}

// Dial returns a connection to a CSI socket that ends with the test.
func Dial(t *testing.T, endpoint string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// UnmountBelow unmounts everything below a directory.
func UnmountBelow(directory string) {
	mounts, _ := node.Mounts()
	for _, m := range slices.Backward(mounts) {
		if strings.HasPrefix(m.Point, directory+"/") {
			_ = unix.Unmount(m.Point, unix.MNT_DETACH)
		}
	}
}

// Start starts the process.
func (p *Program) Start() error {
	p.command = exec.Command("/proc/self/exe", p.arguments...)
	p.command.Env = append(os.Environ(), asController+"=1")
	p.command.Stdout, p.command.Stderr = p.log, p.log
	return process.Start(p.command)
}

// Kill ends the process at once.
func (p *Program) Kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
	p.command = nil
}

// Terminate ends the process as kubelet does when its pod is replaced.
func (p *Program) Terminate() error {
	if err := p.command.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	err := p.command.Wait()
	p.command = nil
	return err
}

// PID of the process.
func (p *Program) PID() int { return p.command.Process.Pid }

// Ready waits until the process serves calls.
func (p *Process) Ready(ctx context.Context) error {
	for {
		_, err := p.ListVolumes(ctx, &csispec.ListVolumesRequest{MaxEntries: 1})
		if err == nil {
			return nil
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("the controller is not ready: %w", err)
		}
	}
}

// Kubeconfig writes a kubeconfig file for a connection.
func Kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	file := clientcmdapi.NewConfig()
	file.Clusters["c"] = &clientcmdapi.Cluster{
		Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData,
	}
	file.AuthInfos["u"] = &clientcmdapi.AuthInfo{
		Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
		ClientCertificate: config.CertFile, ClientKey: config.KeyFile,
	}
	file.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	file.CurrentContext = "x"
	require.NoError(t, clientcmd.WriteToFile(*file, name))
	return name
}
