//go:build linux

package storage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/pkg/testkit/process"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

const (
	mebibyte = 1 << 20
	timeout  = 2 * time.Minute
	// storageTimeout is how long a call waits for a limit before it ends with DeadlineExceeded.
	storageTimeout = 5 * time.Second
	namespace      = "default"
)

// suite is a GlusterFS cluster, the controller of gluster-bridge, and a quotad for each server.
type suite struct {
	cp      *testkit.ControlPlane
	weir    versioned.Interface
	cluster *gluster.Cluster
	root    string
	dir     string
	csi.ControllerClient
	quotads [gluster.Servers + 1]*exec.Cmd
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	gluster.Need(t)
	quotakernel.Need(t)
	cp := testkit.Shared(t)
	return newSuiteOn(t, func(context.Context) (*testkit.ControlPlane, error) { return cp, nil }, gluster.NewWithQuota)
}

// newSuiteOn is newSuite with another control plane and another cluster, which start at the same time.
func newSuiteOn(
	t *testing.T, controlPlane func(context.Context) (*testkit.ControlPlane, error),
	start func(testing.TB) *gluster.Cluster,
) *suite {
	t.Helper()
	root, err := env.Root()
	require.NoError(t, err)
	s := &suite{root: root, dir: t.TempDir()}
	installed := make(chan error, 1)
	go func() {
		cp, err := controlPlane(t.Context())
		if err == nil {
			s.cp = cp
			err = install(t.Context(), cp)
		}
		installed <- err
	}()
	s.cluster = start(t)
	require.NoError(t, <-installed)
	cp := s.cp
	s.weir, err = versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	_, err = cp.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "external-quotads"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "weir-quotad"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "weir:quotad"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	s.startController(t)
	return s
}

// install applies the manifests of the services, if TestMain has not: kubectl is slow on the kernel of the tests.
func install(ctx context.Context, cp *testkit.ControlPlane) error {
	_, err := cp.Client().CoreV1().ServiceAccounts("weir-node").Get(ctx, "gluster-bridge", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	root, err := env.Root()
	if err != nil {
		return err
	}
	_, err = env.Install(ctx, cp, root, "gluster-bridge", "quotad")
	return err
}

// start starts a program and returns it. It ends with the test.
func (s *suite) start(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(filepath.Join(s.root, "bin", program), args...)
	log := &process.Output{}
	command.Stdout, command.Stderr = log, log
	require.NoError(t, process.Start(command))
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s %v:\n%s", program, args, log.End(4000))
		}
	})
	return command
}

func (s *suite) kubeconfig(t *testing.T, name string, config *rest.Config) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	require.NoError(t, env.WriteKubeconfig(file, config))
	return file
}

func (s *suite) startController(t *testing.T) {
	t.Helper()
	account, err := s.cp.ServiceAccount(t.Context(), "weir-node", "gluster-bridge")
	require.NoError(t, err)
	socket := filepath.Join(s.dir, "csi.sock")
	s.start(t, "gluster-bridge", "controller", "--kubeconfig="+s.kubeconfig(t, "gluster-bridge", account),
		"--endpoint=unix://"+socket, "--metrics-address=", "--mount-directory="+filepath.Join(s.dir, "mounts"),
		"--log-directory="+s.dir, "--storage-timeout="+storageTimeout.String(), "--probe-interval=1s")
	t.Cleanup(func() {
		// A mount that stays would let the removal of the directory delete all data.
		mounts, _ := filepath.Glob(filepath.Join(s.dir, "mounts", "*"))
		for _, mount := range mounts {
			_ = unix.Unmount(mount, unix.MNT_DETACH)
		}
	})
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s.ControllerClient = csi.NewControllerClient(conn)
}

// standalone starts the quotads of servers without access to the API, cluster with the user of their node.
func (s *suite) standalone(t *testing.T, servers ...int) {
	t.Helper()
	for _, server := range servers {
		s.startQuotad(t, server, "standalone")
	}
}

func (s *suite) clusterMode(t *testing.T, servers ...int) {
	t.Helper()
	for _, server := range servers {
		config := s.cp.RESTConfig()
		config.Impersonate = rest.ImpersonationConfig{
			UserName: "weir:quotad:" + s.nodeID(t, server), Groups: []string{"weir:quotad", "system:authenticated"},
		}
		s.startQuotad(t, server, "cluster", "--kubeconfig="+s.kubeconfig(t, fmt.Sprint("quotad-", server), config))
	}
}

func (s *suite) startQuotad(t *testing.T, server int, mode ...string) {
	t.Helper()
	s.quotads[server] = s.start(t, "quotad", append(mode, "--glusterd-dir="+s.cluster.WorkingDirectory(server),
		"--state-dir="+filepath.Join(s.dir, fmt.Sprint("state-", server)), "--metrics-address=", "--check-interval=1h")...)
}

// stopQuotads ends the quotads of servers.
func (s *suite) stopQuotads(t *testing.T, servers ...int) {
	t.Helper()
	for _, server := range servers {
		require.NoError(t, s.quotads[server].Process.Signal(unix.SIGTERM))
		require.NoError(t, s.quotads[server].Wait())
	}
}

// nodeID returns the UUID of a server.
func (s *suite) nodeID(t *testing.T, server int) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.cluster.WorkingDirectory(server), "glusterd.info"))
	require.NoError(t, err)
	for line := range strings.Lines(string(content)) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), "UUID="); found {
			return id
		}
	}
	t.Fatalf("glusterd.info of server %d has no UUID", server)
	return ""
}

// storage is a KadaluStorage with a mount of its GlusterFS volume.
type storage struct {
	*suite
	name  string
	mount string
	// disks are the file systems of the bricks, dataBricks the number of bricks over which a file is spread.
	disks      []string
	dataBricks uint64
}

// addStorage creates a volume with a brick on a new file system of each server, and its KadaluStorage.
func (s *suite) addStorage(
	t *testing.T, name string, quota kadaluv1alpha1.QuotaMode, dataBricks uint64, kind ...string,
) storage {
	t.Helper()
	result := storage{suite: s, name: name, dataBricks: dataBricks}
	var bricks []string
	for server := 1; server <= gluster.Servers; server++ {
		s.cluster.AddDisk(t, server, name)
		disk := s.cluster.Disk(server, name)
		result.disks = append(result.disks, disk)
		bricks = append(bricks, gluster.Host(server)+":"+filepath.Join(disk, "brick"))
	}
	s.cluster.VolumeOn(name, bricks, kind...)
	s.cluster.Gluster("volume", "set", name, "user.weir.dev/managed", "on")
	// The volume does not run beside those of later tests.
	t.Cleanup(func() { s.cluster.Gluster("volume", "stop", name, "force") })
	result.mount = s.cluster.MountFor(t, name)
	storages := s.weir.KadaluV1alpha1().KadaluStorages(namespace)
	_, err := storages.Create(t.Context(), &kadaluv1alpha1.KadaluStorage{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: kadaluv1alpha1.KadaluStorageSpec{
			Type: "External", Quota: quota,
			Details: []kadaluv1alpha1.GlusterDetails{{
				GlusterNode: gluster.Host(1), GlusterHosts: gluster.Hosts()[1:], GlusterVolname: name,
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		err := storages.Delete(ctx, name, metav1.DeleteOptions{})
		require.NoError(t, err)
		require.NoError(t, testkit.Poll(ctx, "the deletion of the storage", func(ctx context.Context) error {
			if _, err := storages.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("the storage exists: %w", err)
			}
			return nil
		}))
	})
	result.mode(t, quota)
	return result
}

// mode waits until a quota mode is in effect.
func (s storage) mode(t *testing.T, want kadaluv1alpha1.QuotaMode) {
	t.Helper()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		ks, err := s.weir.KadaluV1alpha1().KadaluStorages(namespace).Get(ctx, s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if ks.Status.QuotaMode != want {
			return fmt.Errorf("the quota mode is %q", ks.Status.QuotaMode)
		}
		for _, c := range ks.Status.Conditions {
			if c.Type == kadaluv1alpha1.ConditionReady && c.Status == metav1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("the storage is not ready: %+v", ks.Status.Conditions)
	})
}

func (s storage) create(ctx context.Context, name string, size int64) error {
	_, err := s.CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name: name, Parameters: map[string]string{"storage_name": s.name, "storage_namespace": namespace},
		CapacityRange: &csi.CapacityRange{RequiredBytes: size},
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		}},
	})
	return err
}

func (s storage) expand(ctx context.Context, name string, size int64) error {
	_, err := s.ControllerExpandVolume(ctx, &csi.ControllerExpandVolumeRequest{
		VolumeId: s.id(name), CapacityRange: &csi.CapacityRange{RequiredBytes: size},
	})
	return err
}

func (s storage) id(name string) string { return namespace + "/" + s.name + "/" + name }

// repeated repeats a call as the sidecars do until it succeeds.
func repeated(t *testing.T, call func(context.Context) error) {
	t.Helper()
	begun := time.Now()
	testkit.Eventually(t, timeout, call)
	t.Logf("answered after %s", time.Since(begun).Round(time.Millisecond))
}

// object returns the GlusterVolume of a volume.
func (s storage) object(t *testing.T, name string) storagev1alpha1.GlusterVolume {
	t.Helper()
	list, err := s.weir.StorageV1alpha1().GlusterVolumes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, gv := range list.Items {
		if gv.Spec.Volume == s.name && filepath.Base(gv.Spec.Path) == name {
			return gv
		}
	}
	t.Fatalf("volume %s has no GlusterVolume", name)
	return storagev1alpha1.GlusterVolume{}
}

// limits returns the limit of a volume on each brick.
func (s storage) limits(t *testing.T, name string) []uint64 {
	t.Helper()
	project := uint32(s.object(t, name).Spec.ProjectID) //nolint:gosec // validated by the API
	var found []uint64
	for _, disk := range s.disks {
		found = append(found, quotakernel.Limits(t, disk)[project])
	}
	return found
}

// each returns the limits of a volume of a size on all bricks.
func (s storage) each(size uint64) []uint64 {
	return []uint64{size / s.dataBricks, size / s.dataBricks, size / s.dataBricks}
}

func (s storage) directory(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(s.mount, s.object(t, name).Spec.Path)
}

// shown returns the size that statfs shows to a client.
func (s storage) shown(t *testing.T, name string) int64 {
	t.Helper()
	size, err := gluster.Size(s.directory(t, name))
	require.NoError(t, err)
	return size
}

// fill writes to a new file until an error, and returns the number of bytes that are on the bricks.
func (s storage) fill(t *testing.T, name, file string) (total int) {
	t.Helper()
	return gluster.Fill(t, filepath.Join(s.directory(t, name), file))
}
