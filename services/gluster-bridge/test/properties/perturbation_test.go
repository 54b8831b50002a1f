//go:build linux

package properties

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/csi/csitest"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// ownClasses are the StorageClasses of gluster-bridge.
var ownClasses = snapshot.Listing{
	Resource:      schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"},
	ClusterScoped: true,
	Options: func(string) metav1.ListOptions {
		return metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=gluster-bridge"}
	},
}

var storages = schema.GroupVersionResource{
	Group: "kadalu-operator.storage", Version: "v1alpha1", Resource: "kadalustorages",
}

var glusterVolumes = schema.GroupVersionResource{
	Group: "storage.weir.dev", Version: "v1alpha1", Resource: "glustervolumes",
}

// scene is the controller and a client of it. Its runs use the same GlusterFS volume, one after the other. The storage
// has the name of the namespace, because its StorageClass has no namespace.
type scene struct {
	*testenv.Env
	*sidecar
	dir, socket string
	// point is a mount of the volume that belongs to the test.
	point string
}

func newScene(t *testing.T, e *testenv.Env) *scene {
	t.Helper()
	s := &scene{Env: e, dir: t.TempDir(), socket: csitest.Socket(t), point: e.Cluster.MountFor(t, testenv.Volume)}
	conn, err := grpc.NewClient("unix://"+s.socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s.sidecar = &sidecar{ControllerClient: csi.NewControllerClient(conn)}
	return s
}

func (s *scene) subject() perturb.Subject {
	return perturb.Subject{
		Identity: func(context.Context, perturb.Env) (*rest.Config, error) { return rest.CopyConfig(s.Account), nil },
		Service: func(ctx context.Context, config *rest.Config, namespace string) error {
			return testenv.Run(ctx, config, testenv.Flags(filepath.Join(s.dir, namespace), s.socket))
		},
		Compare: append(snapshot.Namespaced(storages), ownClasses,
			snapshot.Listing{Resource: glusterVolumes, ClusterScoped: true}),
		Normalize: []snapshot.Normalizer{normalizeVolumes},
		Cleanup:   s.cleanup,
		Deadline:  90 * time.Second,
	}
}

// normalizeVolumes replaces what depends on the namespace of a run: the project id of a volume is derived from its CSI
// id, and so is the name of its GlusterVolume. Done checks that the ids are those of the metadata. The bricks report in
// any order.
func normalizeVolumes(o *unstructured.Unstructured) {
	if o.GetKind() != "GlusterVolume" {
		return
	}
	directory, _, _ := unstructured.NestedString(o.Object, "spec", "path")
	o.SetName(path.Base(directory))
	if id, _, _ := unstructured.NestedInt64(o.Object, "spec", "projectID"); id != 0 {
		_ = unstructured.SetNestedField(o.Object, "<project id>", "spec", "projectID")
	}
	bricks, found, _ := unstructured.NestedSlice(o.Object, "status", "bricks")
	if !found {
		return
	}
	slices.SortFunc(bricks, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	_ = unstructured.SetNestedSlice(o.Object, bricks, "status", "bricks")
}

// cleanup removes the objects without a namespace and all volumes.
func (s *scene) cleanup(ctx context.Context, env perturb.Env) error {
	client := s.Weir.KadaluV1alpha1().KadaluStorages(env.Namespace)
	_, err := client.Patch(ctx, env.Namespace, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`),
		metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	classes := env.Client().StorageV1().StorageClasses()
	class := classes.Delete(ctx, "kadalu.external."+env.Namespace, metav1.DeleteOptions{})
	if apierrors.IsNotFound(class) {
		class = nil
	}
	err = errors.Join(err, class,
		client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
		s.Weir.StorageV1alpha1().GlusterVolumes().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	for _, name := range []string{"subvol", "info", ".weir"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.point, name)))
	}
	return err
}

func (s *scene) request(namespace, name string) *csi.CreateVolumeRequest {
	request := testenv.Request(name, mebibyte)
	request.Parameters = map[string]string{"storage_name": namespace, "storage_namespace": namespace}
	return request
}

func volumeID(namespace, name string) string { return namespace + "/" + namespace + "/" + name }

// call is a step that repeats a CSI call until it succeeds, as the sidecars do.
func (s *scene) call(name string, call func(context.Context, string) error) perturb.Step {
	return perturb.Step{Name: name, Run: func(ctx context.Context, env perturb.Env) error {
		return s.until(ctx, func(ctx context.Context) error { return call(ctx, env.Namespace) })
	}}
}

func (s *scene) create(name string, source func(namespace string) *csi.VolumeContentSource) perturb.Step {
	return s.call("create "+name, func(ctx context.Context, namespace string) error {
		request := s.request(namespace, name)
		if source != nil {
			request.VolumeContentSource = source(namespace)
		}
		_, err := s.CreateVolume(ctx, request)
		return err
	})
}

func perturbed(t *testing.T, e *testenv.Env) {
	s := newScene(t, e)
	const taken = "snapshot-1"
	snapshotID := func(namespace string) string { return volumeID(namespace, "@"+taken) }
	perturb.Replay(t, e.ControlPlane, perturb.Scenario{
		Name: "life of volumes", Subject: s.subject(), Parallel: 1,
		PauseDuration: 500 * time.Millisecond,
		Steps: []perturb.Step{
			{Name: "apply the storage", Run: func(ctx context.Context, env perturb.Env) error {
				_, err := env.ApplyYAML(ctx, env.Namespace, fmt.Sprintf(storageManifest, env.Namespace, "Managed"))
				return err
			}},
			s.create("pvc-a", nil), s.create("pvc-b", nil),
			s.call("expand pvc-a", func(ctx context.Context, namespace string) error {
				_, err := s.ControllerExpandVolume(ctx, &csi.ControllerExpandVolumeRequest{
					VolumeId: volumeID(namespace, "pvc-a"), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * mebibyte},
				})
				return err
			}),
			s.call("take a snapshot of pvc-b", func(ctx context.Context, namespace string) error {
				response, err := s.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{
					Name: taken, SourceVolumeId: volumeID(namespace, "pvc-b"),
				})
				if err == nil && !response.GetSnapshot().GetReadyToUse() {
					err = status.Error(codes.Unavailable, "the snapshot is not ready")
				}
				return err
			}),
			s.create("pvc-c", func(namespace string) *csi.VolumeContentSource {
				return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
					Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshotID(namespace)},
				}}
			}),
			s.call("delete the snapshot", func(ctx context.Context, namespace string) error {
				_, err := s.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{SnapshotId: snapshotID(namespace)})
				return err
			}),
			s.call("delete pvc-b", func(ctx context.Context, namespace string) error {
				_, err := s.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volumeID(namespace, "pvc-b")})
				return err
			}),
		},
		Done: func(ctx context.Context, _ perturb.Env) error {
			found, err := s.Find(ctx)
			if err != nil {
				return err
			}
			if len(found.Snapshots) > 0 {
				return fmt.Errorf("%d snapshots exist", len(found.Snapshots))
			}
			if err := found.Check("pvc-a", "pvc-c"); err != nil {
				return err
			}
			return s.allEnforced(ctx)
		},
	})
}

// allEnforced returns an error unless the sizes of all volumes are enforced.
func (s *scene) allEnforced(ctx context.Context) error {
	list, err := s.Weir.StorageV1alpha1().GlusterVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, gv := range list.Items {
		c := meta.FindStatusCondition(gv.Status.Conditions, storagev1alpha1.ConditionEnforced)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != gv.Generation {
			return fmt.Errorf("the size of %s is not enforced: %+v", gv.Name, c)
		}
	}
	return nil
}

// storageManifest has the name of the storage and its quota mode.
const storageManifest = `
apiVersion: kadalu-operator.storage/v1alpha1
kind: KadaluStorage
metadata: {name: %s}
spec:
  type: External
  pvReclaimPolicy: delete
  quota: %s
  details:
  - gluster_node: ` + firstHost + `
    gluster_volname: ` + testenv.Volume + `
    gluster_port: 24007
    gluster_options: log-level=WARNING
`

const firstHost = "127.1.1.1"
