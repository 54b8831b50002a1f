package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

func TestRejectedSpecsNameTheFieldTheValueAndTheFix(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	valid := manifest(e, 1, []string{"a"})
	base := "/mnt/data/" + e.Namespace
	pattern := func(p string) string { return fmt.Sprintf("basePath: %s\n  pathPattern: %q", base, p) }
	for _, test := range []struct{ old, new, message string }{
		{base, "/", "spec.basePath / must be an absolute path other than /"},
		{base, "data", "spec.basePath data must be an absolute path"},
		{base, "/mnt/data/../../etc", "spec.basePath /mnt/data/../../etc must be an absolute path"},
		{base, "/mnt/data/", "spec.basePath /mnt/data/ must be an absolute path"},
		{"basePath: " + base, pattern("../{claim}"), "spec.pathPattern ../{claim} must be a relative path"},
		{"basePath: " + base, pattern("{claim}/../x"), "spec.pathPattern {claim}/../x must be a relative path"},
		{"basePath: " + base, pattern("/{claim}"), "spec.pathPattern /{claim} must be a relative path"},
		{"basePath: " + base, pattern(".trash/{claim}"), "no element may start with a dot"},
		{"basePath: " + base, pattern("{namespace}"), "does not contain {claim}: two volumes would share a directory"},
		{"-{ordinal}", "", "must be the name of a PersistentVolumeClaim that contains {ordinal} once"},
		{"-{ordinal}", "-{ordinal}-{ordinal}", "must be the name of a PersistentVolumeClaim that contains {ordinal} once"},
		{"list: [a]", "list: [a], selector: {}", "spec.nodes must set exactly one of selector, list and perReplica"},
		{"basePath: " + base, "nodeLoss: {policy: Replace}\n  basePath: " + base, "spec.nodeLoss.after is required"},
		{"basePath: " + base, "nodeLoss: {policy: Replace, after: 1m}\n  basePath: " + base, "must be at least 5m"},
	} {
		require.Contains(t, valid, test.old)
		require.Contains(t, e.ApplyError(strings.Replace(valid, test.old, test.new, 1)), test.message)
	}
}

func TestSetsThatCannotWorkSayWhatToDo(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	directory := filepath.Join(agents[0].Root, "mnt", "data", e.Namespace)
	for _, test := range []struct{ name, old, new, condition, reason, message string }{
		{
			"selector", "list: [" + nodes[0] + "]", "selector: {matchLabels: {disk: " + e.Namespace + "}}", "PlacementComplete",
			"NoNodeMatches", "selects no node that runs the agent; correct it, or label a node",
		},
		{
			"node", "list: [" + nodes[0] + "]", "list: [no-such-node]", "PlacementComplete", "NoNodeMatches",
			"spec.nodes.list no-such-node has no node that runs the agent; correct it",
		},
		{
			"nodes", "list: [" + nodes[0] + "]", "perReplica: [" + nodes[0] + "]", "Ready", "InvalidSpec",
			"spec.nodes.perReplica has 1 nodes for spec.replicas 2; add 1 nodes",
		},
		{
			"path", "/mnt/data/", "/etc/", "Ready", "BasePathNotAllowed", "is not in --allowed-base-paths",
		},
		{
			"quota", "basePath:", "quota: XFS\n  basePath:", "PlacementComplete", "NoNodeFits",
			"has no project quota on /mnt/data/" + e.Namespace + " (spec.quota)",
		},
		{
			"size", "1Gi", "5Ti", "CapacityOK", "InsufficientCapacity", "needs 5Ti and fits on no node",
		},
	} {
		set := strings.Replace(manifest(e, 2, nodes), test.old, test.new, 1)
		set = strings.NewReplacer("{name: s}", "{name: "+test.name+"}", e.Namespace+"-{", test.name+"-{").Replace(set)
		e.Apply(set)
		e.Eventually(func(context.Context) error {
			message := e.WaitCondition(test.name, test.condition, metav1.ConditionFalse, test.reason)
			if !strings.Contains(message, test.message) {
				return fmt.Errorf("%s: %s", test.name, message)
			}
			return nil
		})
		require.NoDirExists(t, directory, test.name)
	}
}

func TestQuotaIsUsedWhereTheFileSystemEnforcesIt(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	names, err := e.ControlPlane.AddNodes(t.Context(), 2)
	require.NoError(t, err)
	for i, name := range names {
		agent := &testenv.Agent{Node: name, Machine: name, Root: filepath.Join(t.TempDir(), name), Quota: i == 1}
		agent.Start(e)
	}
	e.Apply(strings.Replace(manifest(e, 2, names), "basePath:", "quota: XFS\n  basePath:", 1))
	for _, v := range e.WaitReady("s", "2/2", 0).Status.Volumes {
		require.Equal(t, names[1], v.Node, "the other node has no quota")
	}
}

func TestClaimsAndDirectoriesOfAnotherSetAreRefused(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	path := e.WaitReady("s", "1/1", 0).Status.Volumes[0].Path
	data := filepath.Join(agents[0].Root, path, "data")
	require.NoError(t, os.WriteFile(data, []byte("records"), 0o600))
	uid := e.PV(e.Namespace + "-0").UID

	e.Apply(strings.Replace(manifest(e, 1, nodes), "{name: s}", "{name: same-claim}", 1))
	require.Contains(t, e.WaitCondition("same-claim", "Conflict", metav1.ConditionTrue, "ClaimInUse"),
		"yields claim "+e.Namespace+"-0, which KafkaLocalVolumeSet s has too; use another pattern")

	inside := strings.NewReplacer("{name: s}", "{name: inside}", "/mnt/data/"+e.Namespace, path, e.Namespace+"-{",
		"inside-{").Replace(manifest(e, 1, nodes))
	e.Apply(inside)
	require.Contains(t, e.WaitCondition("inside", "Conflict", metav1.ConditionTrue, "PathInUse"),
		"collides with "+path+" of KafkaLocalVolumeSet "+e.Namespace+"/s; use spec.pathPattern {namespace}/{claim}")

	// The data of a deleted set still belongs to it.
	for _, name := range []string{"inside", "s"} {
		require.NoError(t, e.Weir.StorageV1alpha1().KafkaLocalVolumeSets(e.Namespace).Delete(t.Context(), name,
			metav1.DeleteOptions{}))
	}
	message := e.WaitCondition("same-claim", "Conflict", metav1.ConditionTrue, "VolumeConflict", "DirectoryConflict")
	require.Contains(t, message, "KafkaLocalVolumeSet s")
	require.Equal(t, uid, e.PV(e.Namespace+"-0").UID)
	require.FileExists(t, data)
	e.Apply(manifest(e, 1, nodes))
	e.WaitReady("s", "1/1", 0)
	require.Equal(t, uid, e.PV(e.Namespace+"-0").UID)
	content, err := os.ReadFile(data)
	require.NoError(t, err)
	require.Equal(t, "records", string(content))
}

func TestDirectoryWithTheMarkerOfAnotherSetIsNotUsed(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	directory := filepath.Join(agents[0].Root, "mnt", "data", e.Namespace, e.Namespace+"-0")
	marker := filepath.Join(directory, ".volume-id")
	content := fmt.Sprintf(`{"id": "%s/%[1]s-0", "setName": "another"}`, e.Namespace)
	require.NoError(t, os.MkdirAll(directory, 0o750))
	require.NoError(t, os.WriteFile(marker, []byte(content), 0o600))
	e.Apply(manifest(e, 1, nodes))
	message := e.WaitCondition("s", "Conflict", metav1.ConditionTrue, "DirectoryConflict")
	require.Contains(t, message, "/mnt/data/"+e.Namespace+"/"+e.Namespace+"-0 on node "+nodes[0])
	after, err := os.ReadFile(marker)
	require.NoError(t, err)
	require.Equal(t, content, string(after))
	// The administrator moves the data away.
	require.NoError(t, os.Rename(directory, directory+"-moved"))
	e.WaitReady("s", "1/1", 0)
	require.FileExists(t, filepath.Join(directory+"-moved", ".volume-id"))
}

func TestSymbolicLinkAsBasePathIsNotUsed(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	names, err := e.ControlPlane.AddNodes(t.Context(), 1)
	require.NoError(t, err)
	root := t.TempDir()
	base, target := filepath.Join(root, "data"), filepath.Join(root, "target")
	require.NoError(t, errors.Join(os.Mkdir(target, 0o750), os.Symlink(target, base)))
	account := testenv.AgentIdentity(e.ControlPlane, names[0])
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunAgent(ctx, account, names[0], base) })
	e.Apply(replace(manifest(e, 1, names), "/mnt/data/"+e.Namespace, base))
	message := e.WaitCondition("s", "PlacementComplete", metav1.ConditionFalse, "NoNodeFits")
	require.Contains(t, message, "base path "+base+" is or contains a symbolic link; use the path that it points to")
	entries, err := os.ReadDir(target)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, errors.Join(os.Remove(base), os.Mkdir(base, 0o750)))
	e.WaitReady("s", "1/1", 0)
}
