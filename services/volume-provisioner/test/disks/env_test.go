//go:build linux

// Package disks tests the agent as a process on mounted file systems: with the capabilities and the permissions that it
// has in a cluster.
package disks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/process"
	volumeprovisioner "github.com/weir-dev/weir/services/volume-provisioner/internal/app"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// agentEnv makes the test binary run the agent.
const agentEnv = "WEIR_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) != "" {
		os.Exit(app.Main(volumeprovisioner.Command()))
	}
	disk.Enter()
	testkit.Main(m)
}

const machine = "0123456789abcdef0123456789abcdef"

// env is a node whose base path is the mount point of a disk.
type env struct {
	*testenv.Env
	node, base string
	disk       *disk.Disk
}

func newEnv(t *testing.T, fileSystem string) *env {
	t.Helper()
	d := disk.New(t, fileSystem)
	e := &env{Env: testenv.New(t), base: t.TempDir(), disk: d}
	e.node = e.Namespace + "-node"
	_, err := e.Client().CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: e.node, Labels: map[string]string{corev1.LabelHostname: e.node}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		now := metav1.DeleteOptions{}
		require.NoError(t, errors.Join(
			e.Client().CoreV1().Nodes().Delete(context.Background(), e.node, now),
			e.Weir.StorageV1alpha1().LocalVolumeNodes().Delete(context.Background(), e.node, now),
		))
	})
	d.Mount(e.base)
	return e
}

// write writes a kubeconfig.
func write(c *rest.Config, file string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		Token: c.BearerToken, Impersonate: c.Impersonate.UserName, ImpersonateGroups: c.Impersonate.Groups,
		ImpersonateUserExtra: c.Impersonate.Extra,
	}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, file)
}

// start starts the agent as a process without root, with the capabilities and the ServiceAccount of the DaemonSet.
func (e *env) start(recheck time.Duration) (kill func()) {
	e.Helper()
	directory := e.TempDir()
	kubeconfig, id := filepath.Join(directory, "kubeconfig"), filepath.Join(directory, "machine-id")
	require.NoError(e, write(testenv.AgentIdentity(e.ControlPlane, e.node), kubeconfig))
	require.NoError(e, os.WriteFile(id, []byte(machine+"\n"), 0o644))
	command := exec.CommandContext(e.Context(), "/proc/self/exe", "agent", "--node-name="+e.node,
		"--allowed-base-paths="+e.base, "--machine-id-file="+id, "--kubeconfig="+kubeconfig, "--metrics-address=",
		"--recheck-interval="+recheck.String(), "--log-format=text")
	command.Env = []string{agentEnv + "=1"}
	command.Stderr = e.Output()
	const chown, dacOverride, fowner = 0, 1, 3
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, AmbientCaps: []uintptr{chown, dacOverride, fowner},
	}
	require.NoError(e, process.Start(command))
	return func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}

// apply applies a set with two replicas on the disk.
func (e *env) apply() {
	e.Helper()
	e.Apply(fmt.Sprintf(`
apiVersion: storage.weir.dev/v1alpha1
kind: KafkaLocalVolumeSet
metadata: {name: s}
spec:
  replicas: 2
  basePath: %s
  nodes: {list: [%s]}
  owner: {uid: 1001, fsGroup: 1001}
  templates: [{name: data, claimNamePattern: "%s-{ordinal}", size: 1Mi}]
`, e.base, e.node, e.Namespace))
}

// wait waits for a file system state and directory counter, and returns the object.
func (e *env) wait(state v1.FileSystemState, ready string) *v1.LocalVolumeNode {
	e.Helper()
	var object *v1.LocalVolumeNode
	e.Eventually(func(ctx context.Context) error {
		var err error
		if object, err = e.Weir.StorageV1alpha1().LocalVolumeNodes().Get(ctx, e.node, metav1.GetOptions{}); err != nil {
			return err
		}
		s := object.Status
		if s.ObservedGeneration != object.Generation || s.Ready != ready {
			return fmt.Errorf("generation %d of %d, ready %q: %+v", s.ObservedGeneration, object.Generation, s.Ready, s)
		}
		if len(s.FileSystems) != 1 || s.FileSystems[0].State != state {
			return fmt.Errorf("file systems: %+v", s.FileSystems)
		}
		return nil
	})
	return object
}
