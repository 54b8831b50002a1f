//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageclient "github.com/weir-dev/weir/generated/clientset/versioned/typed/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
)

const (
	nodeA = "6b1e1b4c-0000-4000-8000-00000000000a"
	nodeB = "6b1e1b4c-0000-4000-8000-00000000000b"
)

func TestQuotadsOfTwoNodesReportTheirBricksUnderTheirOwnRights(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.create("pv", "v1")
	brick := filepath.Join(t.TempDir(), "brick")
	e.run(e.pod("node-a"), "node-a", glusterdFiles(t, nodeA, "v1", brick))
	// A quotad outside of the Kubernetes cluster has a user of its own.
	external, err := e.cp.User("weir:quotad:"+nodeB, "weir:quotad")
	require.NoError(t, err)
	_, err = e.cp.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "external-quotads"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "weir-quotad"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "weir:quotad"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	e.run(external, "", glusterdFiles(t, nodeB, "v1", brick))
	for _, b := range e.entries("pv", 2) {
		require.Equal(t, storagev1alpha1.BrickUnavailable, b.State, b.Message)
		require.Equal(t, map[string]string{nodeA: "node-a", nodeB: ""}[b.Node], b.NodeName)
		require.EqualValues(t, 1, b.ObservedGeneration)
	}
}

func TestQuotadWritesOnlyTheEntriesOfItsOwnNode(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.create("pv", "v1")
	entry := func(node, nodeName string, limit int) string {
		return fmt.Sprintf(`{"node":%q,"brick":"/b","state":"Enforced","nodeName":%q,"limitBytes":%d}`, node, nodeName, limit)
	}
	apply := func(client storageclient.GlusterVolumeInterface, manager, entries string, dryRun ...string) error {
		_, err := client.Patch(t.Context(), "pv", types.ApplyPatchType, []byte(
			`{"apiVersion":"storage.weir.dev/v1alpha1","kind":"GlusterVolume","metadata":{"name":"pv"},"status":{`+entries+`}}`),
			metav1.PatchOptions{FieldManager: manager, Force: new(true), DryRun: dryRun}, "status")
		return err
	}
	bricks := func(entries string) string { return `"bricks":[` + entries + `]` }
	own, other := clientOf(t, e.pod("node-a")), clientOf(t, e.pod("node-b"))
	denied := `the quotad of node "node-b" can write only the entries of its own node`
	// The API server takes some time to enforce a new policy.
	testkit.Eventually(t, timeout, func(context.Context) error {
		if err := apply(other, "b", bricks(entry(nodeA, "node-a", 1)), metav1.DryRunAll); err == nil {
			return errors.New("the policy is not enforced yet")
		}
		return nil
	})
	require.ErrorContains(t, apply(other, "b", bricks(entry(nodeA, "node-a", 1))), denied)
	require.ErrorContains(t, apply(other, "b", bricks(entry(nodeA, "", 1))), denied)
	require.NoError(t, apply(own, "a", bricks(entry(nodeA, "node-a", 1))))
	require.NoError(t, apply(other, "b", bricks(entry(nodeB, "node-b", 1))))
	require.NoError(t, apply(own, "a", bricks(entry(nodeA, "node-a", 2))))
	require.ErrorContains(t, apply(other, "b", bricks(entry(nodeA, "node-b", 3))), denied, "an entry cannot be taken over")
	require.ErrorContains(t, apply(other, "b", bricks(entry(nodeA, "node-a", 3))), denied)
	require.ErrorContains(t, apply(own, "a", `"conditions":[{"type":"Enforced","status":"True","reason":"R","message":"",`+
		`"lastTransitionTime":"2026-01-01T00:00:00Z"}]`), "gluster-bridge writes status.conditions")
	_, err := other.Patch(t.Context(), "pv", types.JSONPatchType, []byte(`[{"op":"remove","path":"/status/bricks/0"}]`),
		metav1.PatchOptions{}, "status")
	require.ErrorContains(t, err, denied)
	_, err = own.Patch(t.Context(), "pv", types.MergePatchType, []byte(`{"spec":{"capacityBytes":1}}`),
		metav1.PatchOptions{})
	require.ErrorContains(t, err, "cannot patch resource")
	require.Len(t, e.entries("pv", 2), 2)

	external, err := e.cp.User("weir:quotad:"+nodeB, "system:masters")
	require.NoError(t, err)
	require.NoError(t, apply(clientOf(t, external), "b", bricks(entry(nodeB, "", 4))))
	require.ErrorContains(t, apply(clientOf(t, external), "x", bricks(entry(nodeA, "", 4))), "can write only the entries")
	unbound := e.pod("node-a")
	unbound.Impersonate.Extra = nil
	require.ErrorContains(t, apply(clientOf(t, unbound), "u", bricks(entry(nodeA, "", 5))),
		"the token of quotad names no node")
}
