//go:build linux

package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
func encrypted(e *testenv.Env) {
	const volume = "tls"
	dir := e.TempDir()
	certificate(e.T, dir)
	create := []string{"volume", "create", volume, "replica", "3"}
	for server := 1; server <= gluster.Servers; server++ {
		create = append(create, e.Cluster.BrickName(server, volume))
	}
	e.Cluster.Gluster(append(create, "force")...)
	for option, value := range map[string]string{
		"client.ssl": "on", "server.ssl": "on", "auth.ssl-allow": commonName,
		"ssl.own-cert": filepath.Join(dir, "pem"), "ssl.private-key": filepath.Join(dir, "key"),
		"ssl.ca-list": filepath.Join(dir, "ca"),
	} {
		e.Cluster.Gluster("volume", "set", volume, option, value)
	}
	e.Cluster.Gluster("volume", "start", volume)
	e.Cleanup(func() { e.Cluster.Gluster("volume", "stop", volume, "force") })

	storages := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace)
	add := func(name string) {
		_, err := storages.Create(e.Context(), &kadaluv1alpha1.KadaluStorage{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: kadaluv1alpha1.KadaluStorageSpec{
				Type: "External", Quota: kadaluv1alpha1.QuotaUnmanaged,
				Details: []kadaluv1alpha1.GlusterDetails{{
					GlusterNode: gluster.Host(1), GlusterVolname: volume,
					// Another option makes it another client.
					GlusterOptions: "attribute-timeout=" + fmt.Sprint(len(name)),
				}},
			},
		}, metav1.CreateOptions{})
		require.NoError(e, err)
	}
	until := func(name string, want kadaluv1alpha1.StorageReason) {
		testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
			ks, err := storages.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			c := meta.FindStatusCondition(ks.Status.Conditions, kadaluv1alpha1.ConditionReady)
			if c == nil || c.Reason != string(want) {
				return fmt.Errorf("want the reason %s: %+v", want, c)
			}
			return nil
		})
	}
	tlsComponent(e)
	add("with-certificate")
	until("with-certificate", kadaluv1alpha1.ReasonStorageReady)
	// The servers keep what they have read.
	require.NoError(e, os.Rename(filepath.Join(dir, "pem"), filepath.Join(dir, "moved")))
	add("none")
	until("none", kadaluv1alpha1.ReasonMountFailed)
	for _, name := range []string{"none", "with-certificate"} {
		require.NoError(e, storages.Delete(e.Context(), name, metav1.DeleteOptions{}))
	}
}

// tlsComponent shows that all pods with clients get the certificate where the clients look for it.
func tlsComponent(e *testenv.Env) {
	dir := e.TempDir()
	require.NoError(e, os.CopyFS(dir, os.DirFS(testenv.Deploy())))
	require.NoError(e, os.WriteFile(filepath.Join(dir, "kustomization.yaml"),
		[]byte("resources: [gluster-bridge]\ncomponents: [components/gluster-bridge-tls]\n"), 0o600))
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
			if m := m.(map[string]any); m["name"] == "tls" {
				paths = append(paths, fmt.Sprint(m["mountPath"], " ", m["subPath"]))
			}
		}
		require.Equal(e, []string{
			"/etc/ssl/glusterfs.pem tls.crt", "/etc/ssl/glusterfs.key tls.key", "/etc/ssl/glusterfs.ca ca.crt",
		}, paths, o.GetName())
	}
	require.Equal(e, 2, workloads, "the controller and the clients of the nodes")
}

const commonName = "gluster-test"

// certificate writes a certificate that is its own authority.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		"pem": {Type: "CERTIFICATE", Bytes: der}, "ca": {Type: "CERTIFICATE", Bytes: der},
		"key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}
