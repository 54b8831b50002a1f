package properties

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transition"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

const transitionNode = "transition-node"

const transitionSet = `
apiVersion: storage.weir.dev/v1alpha1
kind: KafkaLocalVolumeSet
metadata: {name: s}
spec:
  replicas: 2
  basePath: /mnt/data
  pathPattern: "{namespace}/{claim}"
  nodes: {list: [` + transitionNode + `]}
  templates: [{name: data, claimNamePattern: "data-{ordinal}", size: 1Gi, accessModes: [ReadWriteOnce]}]
`

// nameInUse is a PersistentVolume with the name of a claim, so that each namespace uses the other name.
const nameInUse = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  claimRef: {name: x, namespace: no-such-namespace}
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: other
  hostPath: {path: /nowhere}
---`

// TestFieldsCanBeChangedAndReverted compares the sets and the PersistentVolumes of their first replica: volumes of
// replicas and templates that were removed are kept. One controller serves all namespaces, and each namespace has its
// own directories on one node.
func TestFieldsCanBeChangedAndReverted(t *testing.T) {
	cp := controlPlane(t)
	require.NoError(t, addNamedNode(t.Context(), cp.Client(), transitionNode))
	t.Cleanup(func() { require.NoError(t, removeNode(context.Background(), cp, "default", transitionNode)) })
	for _, name := range []string{"data-0", "data-1", "data-2", "log-0", "log-1"} {
		_, err := cp.ApplyYAML(t.Context(), "", fmt.Sprintf(nameInUse, name))
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, cp.Client().CoreV1().PersistentVolumes().Delete(context.Background(), name,
				metav1.DeleteOptions{}))
		})
	}
	testenv.Start(t, func(ctx context.Context) error { return testenv.Run(ctx, account) })
	agent := &testenv.Agent{
		Node: transitionNode, Machine: "m", Root: filepath.Join(t.TempDir(), "node"), Capacity: 1 << 50,
	}
	agent.Start(testenv.At(t, cp, "default"))
	idle := func(ctx context.Context, _ *rest.Config, _ string) error {
		<-ctx.Done()
		return nil
	}
	plan := transition.Plan{
		Subject: transition.Subject{
			Service: idle,
			Compare: append(snapshot.Namespaced(resource("storage.weir.dev", "v1alpha1", "kafkalocalvolumesets")),
				snapshot.Listing{
					Resource: resource("", "v1", "persistentvolumes"), ClusterScoped: true,
					Options: func(namespace string) metav1.ListOptions {
						return metav1.ListOptions{FieldSelector: "metadata.name=" + namespace + "-data-0"}
					},
				}),
			Normalize: []snapshot.Normalizer{dropRetained},
		},
		Base: transitionSet,
		Done: func(o *unstructured.Unstructured) error {
			return errors.Join(current(o), condition(o, "Ready", "True"))
		},
		Reported: func(o *unstructured.Unstructured) error {
			return errors.Join(current(o), condition(o, "Ready", "False"))
		},
	}
	data := `{name: data, claimNamePattern: "data-{ordinal}", size: 1Gi, accessModes: [ReadWriteOnce]}`
	transition.Run(t, cp, plan, []transition.Change{
		{Name: "more replicas", Patch: `{spec: {replicas: 3}}`, Valid: true},
		{Name: "fewer replicas", Patch: `{spec: {replicas: 1}}`, Valid: true},
		{
			Name: "another template", Valid: true,
			Patch: `{spec: {templates: [` + data + `, {name: log, claimNamePattern: "log-{ordinal}", size: 1Gi}]}}`,
		},
		{
			Name: "larger volumes", Valid: true, Irreversible: true,
			Patch: `{spec: {templates: [{name: data, claimNamePattern: "data-{ordinal}", size: 2Gi, ` +
				`accessModes: [ReadWriteOnce]}]}}`,
		},
		{
			Name: "other access modes", Valid: true,
			Patch: `{spec: {templates: [{name: data, claimNamePattern: "data-{ordinal}", size: 1Gi, ` +
				`accessModes: [ReadWriteOnce, ReadWriteMany]}]}}`,
		},
		{Name: "more nodes", Patch: `{spec: {nodes: {list: [` + transitionNode + `, other]}}}`, Valid: true},
		{Name: "other spread", Patch: `{spec: {spreadTopologyKey: topology.kubernetes.io/zone}}`, Valid: true},
		{Name: "mount options", Patch: `{spec: {mountOptions: [noatime]}}`, Valid: true},
		{Name: "other owner", Patch: `{spec: {owner: {uid: 1000, mode: "0750"}}}`, Valid: true},
		{Name: "manual reuse", Patch: `{spec: {reusePolicy: Manual}}`, Valid: true},
		{Name: "adoption", Patch: `{spec: {adoptExisting: Unmarked}}`, Valid: true},
		{Name: "replacement", Patch: `{spec: {nodeLoss: {policy: Replace, after: 1h}}}`, Valid: true},
		{Name: "other reserve", Patch: `{spec: {reservedPercent: 20}}`, Valid: true},
		{Name: "a base path that is not allowed", Patch: `{spec: {basePath: /etc}}`},
		{Name: "another path pattern", Patch: `{spec: {pathPattern: "{claim}"}}`},
		{Name: "another class", Patch: `{spec: {storageClassName: other}}`},
		{Name: "another node label", Patch: `{spec: {nodeAffinityKey: other}}`},
		{Name: "size 0", Patch: `{spec: {templates: [{name: data, claimNamePattern: "data-{ordinal}", size: "0"}]}}`},
		{Name: "a smaller size", Patch: `{spec: {templates: [{name: data, claimNamePattern: "data-{ordinal}", size: 1Mi}]}}`},
		{Name: "too few nodes", Patch: `{spec: {nodes: {list: null, perReplica: [a]}}}`},
	})
}

// dropRetained removes the volumes of replicas and templates that were removed, which a new set does not have.
func dropRetained(o *unstructured.Unstructured) {
	o.SetManagedFields(nil)
	volumes, found, _ := unstructured.NestedSlice(o.Object, "status", "volumes")
	if !found {
		return
	}
	volumes = slices.DeleteFunc(volumes, func(v any) bool { return v.(map[string]any)["phase"] == "Retained" })
	_ = unstructured.SetNestedSlice(o.Object, volumes, "status", "volumes")
	if len(volumes) == 0 {
		unstructured.RemoveNestedField(o.Object, "status", "volumes")
	}
}

func current(o *unstructured.Unstructured) error {
	observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	if observed != o.GetGeneration() {
		return fmt.Errorf("observedGeneration is %d, generation is %d", observed, o.GetGeneration())
	}
	return nil
}

func condition(o *unstructured.Unstructured, kind, status string) error {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == kind && c["status"] == status {
			return nil
		}
	}
	return fmt.Errorf("condition %s is not %s: %v", kind, status, conditions)
}
