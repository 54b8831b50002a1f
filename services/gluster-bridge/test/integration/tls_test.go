//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// encrypted creates a volume whose servers accept only clients with a certificate. Servers and clients read the same
// files, because they run on one machine.
func encrypted(e *testenv.Env, c *testenv.Controller) {
	const volume = "tls"
	dir := e.TempDir()
	gluster.Certificate(e, dir+"/")
	points := make([]string, gluster.Servers)
	bricks := make([]string, gluster.Servers)
	for i := range points {
		// The size of this file system can be changed, as quotad changes that of a directory.
		points[i] = e.TempDir()
		require.NoError(e, unix.Mount("tmpfs", points[i], "tmpfs", 0, "size=64m"))
		e.Cleanup(func() { _ = unix.Unmount(points[i], unix.MNT_DETACH) })
		bricks[i] = gluster.Host(i+1) + ":" + filepath.Join(points[i], "brick")
	}
	e.Cluster.Gluster(append(append([]string{"volume", "create", volume, "replica", "3"}, bricks...), "force")...)
	for option, value := range map[string]string{
		"client.ssl": "on", "server.ssl": "on", "auth.ssl-allow": gluster.CommonName,
		"ssl.own-cert": filepath.Join(dir, "pem"), "ssl.private-key": filepath.Join(dir, "key"),
		"ssl.ca-list": filepath.Join(dir, "ca"),
	} {
		e.Cluster.Gluster("volume", "set", volume, option, value)
	}
	e.Cluster.Gluster("volume", "start", volume)
	e.Cleanup(func() { e.Cluster.Gluster("volume", "stop", volume, "force") })

	storages := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace)
	add := func(name string, quota kadaluv1alpha1.QuotaMode) {
		_, err := storages.Create(e.Context(), &kadaluv1alpha1.KadaluStorage{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: kadaluv1alpha1.KadaluStorageSpec{
				Type: "External", Quota: quota,
				Details: []kadaluv1alpha1.GlusterDetails{{
					GlusterNode: gluster.Host(1), GlusterVolname: volume,
					// Another option makes it another client.
					GlusterOptions: "attribute-timeout=" + fmt.Sprint(len(name)),
				}},
			},
		}, metav1.CreateOptions{})
		require.NoError(e, err)
	}
	until := func(name string, want kadaluv1alpha1.StorageReason) (message string) {
		testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
			ks, err := storages.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			c := meta.FindStatusCondition(ks.Status.Conditions, kadaluv1alpha1.ConditionReady)
			if c == nil || c.Reason != string(want) {
				return fmt.Errorf("want the reason %s: %+v", want, c)
			}
			message = c.Message
			return nil
		})
		return message
	}
	tlsComponent(e)
	add("with-certificate", kadaluv1alpha1.QuotaExternal)
	until("with-certificate", kadaluv1alpha1.ReasonStorageReady)
	hide := func() (restore func()) {
		name := filepath.Join(dir, "pem")
		require.NoError(e, os.Rename(name, name+".hidden"))
		return func() { require.NoError(e, os.Rename(name+".hidden", name)) }
	}
	// The servers keep what they have read.
	restore := hide()
	add("none", kadaluv1alpha1.QuotaUnmanaged)
	require.Contains(e, until("none", kadaluv1alpha1.ReasonMountFailed), "certificate if the volume has client.ssl")
	encryptedLimits(e, c, "with-certificate", points, bricks, restore)
	for _, name := range []string{"none", "with-certificate"} {
		require.NoError(e, storages.Delete(e.Context(), name, metav1.DeleteOptions{}))
	}
}

// encryptedLimits shows that the clients of single bricks use TLS too. The client of the volume is mounted, and the
// certificate is missing until restore.
func encryptedLimits(
	e *testenv.Env, c *testenv.Controller, storage string, points, bricks []string, restore func(),
) {
	const size = 32 * mebibyte
	request := testenv.Request("pvc-tls", size)
	request.Parameters["storage_name"] = storage
	limit := func(brick int) {
		require.NoError(e, unix.Mount("", points[brick], "", unix.MS_REMOUNT, "size=32m"))
	}
	refused := func() string {
		_, err := c.CreateVolume(e.Context(), request)
		require.Equal(e, codes.DeadlineExceeded, status.Code(err), err)
		return status.Convert(err).Message()
	}
	// As soon as one brick has the limit, the client of the volume shows it, and each brick is asked.
	limit(0)
	message := refused()
	for _, brick := range bricks {
		require.Contains(e, message, brick+" (")
	}
	require.Equal(e, gluster.Servers, strings.Count(message, "check the certificate, because the volume has client.ssl"),
		message)
	restore()
	limit(1)
	testkit.Eventually(e, testenv.Timeout, func(context.Context) error {
		if message := refused(); !strings.HasSuffix(message, "; check quotad on the nodes of the bricks "+bricks[2]) {
			return errors.New(message)
		}
		return nil
	})

	begun := time.Now()
	created := make(chan error, 1)
	go func() {
		_, err := c.CreateVolume(e.Context(), request)
		created <- err
	}()
	limit(2)
	require.NoError(e, <-created)
	e.Logf("acknowledged by 3 bricks with TLS in %s", time.Since(begun).Round(time.Millisecond))
	clients, err := filepath.Glob(filepath.Join(c.Mounts, "tls-brick-*"))
	require.NoError(e, err)
	require.Len(e, clients, gluster.Servers)
	_, err = c.DeleteVolume(e.Context(), &csi.DeleteVolumeRequest{
		VolumeId: testenv.Namespace + "/" + storage + "/" + request.Name,
	})
	require.NoError(e, err)
}

// tlsComponent shows that all pods with clients get the certificate where the clients look for it.
func tlsComponent(e *testenv.Env) {
	dir := e.TempDir()
	require.NoError(e, os.CopyFS(dir, os.DirFS(testenv.Deploy())))
	require.NoError(e, os.WriteFile(filepath.Join(dir, "kustomization.yaml"),
		[]byte("resources: [gluster-bridge]\n"+
			"components: [components/gluster-bridge-tls, components/gluster-bridge-tls-management]\n"), 0o600))
	stream, err := e.ControlPlane.Kubectl(e.Context(), "kustomize", dir)
	require.NoError(e, err)
	objects, err := testkit.DecodeYAML(stream)
	require.NoError(e, err)
	workloads := 0
	for _, o := range objects {
		if o.GetKind() != "Deployment" && o.GetKind() != "DaemonSet" {
			continue
		}
		if strings.HasSuffix(o.GetName(), "-node") {
			require.NotContains(e, fmt.Sprint(o.Object), "gluster-bridge-tls", "the node process has no clients")
			continue
		}
		workloads++
		containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		require.NoError(e, err)
		var paths []string
		for _, m := range containers[0].(map[string]any)["volumeMounts"].([]any) {
			if m := m.(map[string]any); m["name"] == "tls" || m["name"] == "secure-access" {
				paths = append(paths, fmt.Sprint(m["mountPath"], " ", m["subPath"]))
			}
		}
		want := []string{"/var/lib/glusterd/secure-access secure-access"}
		for _, directory := range gluster.CertificateDirectories {
			want = append(want, directory+"/glusterfs.pem tls.crt", directory+"/glusterfs.key tls.key",
				directory+"/glusterfs.ca ca.crt")
		}
		require.ElementsMatch(e, want, paths, o.GetName())
	}
	require.Equal(e, 2, workloads, "the controller and the clients of the nodes")
	// The API server checks what the components make.
	_, err = e.ControlPlane.ApplyYAML(e.Context(), "", stream)
	require.NoError(e, err)
}
