package decide_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

func TestUnusableNodesGetNoReplica(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*corev1.Node){
		"is cordoned": func(n *corev1.Node) { n.Spec.Unschedulable = true },
		"has the taint dedicated": func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Effect: "NoSchedule"}}
		},
		"has no label kubernetes.io/hostname": func(n *corev1.Node) { n.Labels = nil },
	} {
		w := decidetest.New("a")
		spoil(w.Nodes["a"])
		set := w.AddSet(t, small)
		w.Settle(t)
		c := condition(set, "PlacementComplete")
		require.Equal(t, "NoNodeFits", c.Reason)
		require.Contains(t, c.Message, name)
		require.Empty(t, w.PVs)
	}
}

func TestBasePathsThatCannotBeUsedSayWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b")
	for i, node := range []string{"a", "b"} {
		w.Agents[node].Status.FileSystems = []storagev1alpha1.FileSystemStatus{{
			BasePath: "/mnt/data", State: storagev1alpha1.FileSystemInvalid,
			Message: []string{"base path /mnt/data is a file; remove it", "base path /mnt/data is a link; use its target"}[i],
		}}
	}
	set := w.AddSet(t, small)
	w.Settle(t)
	c := condition(set, "PlacementComplete")
	require.Equal(t, "NoNodeFits", c.Reason)
	require.Contains(t, c.Message, "1 of the nodes reports: base path /mnt/data is a file; remove it; "+
		"1 of the nodes reports: base path /mnt/data is a link; use its target")
	require.Empty(t, w.PVs)
}

// labelled is a set with another node label and with mount options.
const labelled = `
metadata: {name: s}
spec:
  replicas: 2
  basePath: /mnt/data
  nodeAffinityKey: example.org/machine
  mountOptions: [noatime]
  templates: [{name: d, claimNamePattern: "data-{ordinal}", size: 10Gi}]
`

func TestPersistentVolumesHaveTheLabelOfTheirNodeAndNotItsName(t *testing.T) {
	t.Parallel()
	for key, set := range map[string]string{corev1.LabelHostname: small, "example.org/machine": labelled} {
		w := decidetest.New("a", "b")
		for name, node := range w.Nodes {
			node.Labels[key] = name + ".example.org"
		}
		s := w.AddSet(t, set)
		w.Settle(t)
		require.Equal(t, "True", string(condition(s, "Ready").Status), condition(s, "Ready").Message)
		for _, v := range s.Status.Volumes {
			require.Contains(t, w.Nodes, v.Node)
			pv := w.PVs[v.PV]
			require.Equal(t, []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{v.Node + ".example.org"},
			}}}}, pv.Spec.NodeAffinity.Required.NodeSelectorTerms)
			require.Equal(t, s.Spec.MountOptions, pv.Spec.MountOptions)
		}
	}
}

// Pods could start on the node without the data.
func TestNodesThatShareTheirLabelGetNoReplica(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b", "c")
	for name, node := range w.Nodes {
		node.Labels["example.org/machine"] = map[string]string{"a": "same", "b": "same", "c": ""}[name]
	}
	set := w.AddSet(t, labelled)
	w.Settle(t)
	c := condition(set, "PlacementComplete")
	require.Equal(t, "NoNodeFits", c.Reason)
	for _, message := range []string{
		"has no label example.org/machine (spec.nodeAffinityKey)",
		"has the same value of label example.org/machine (spec.nodeAffinityKey) as node a",
		"has the same value of label example.org/machine (spec.nodeAffinityKey) as node b",
	} {
		require.Contains(t, c.Message, message)
	}
	require.Empty(t, w.PVs)
}

func TestADirectoryThatTheAgentHasSeenIsRecordedAsOneThatExisted(t *testing.T) {
	t.Parallel()
	marker := func(id string) *storagev1alpha1.DirectoryMarker { return &storagev1alpha1.DirectoryMarker{ID: id} }
	for name, test := range map[string]struct {
		reported storagev1alpha1.DirectoryStatus
		create   bool
	}{
		"it is ready": {reported: storagev1alpha1.DirectoryStatus{
			State: storagev1alpha1.DirectoryReady, Marker: marker("x/a-0"),
		}},
		"it is missing": {reported: storagev1alpha1.DirectoryStatus{State: storagev1alpha1.DirectoryMissing}},
		"it is not created yet": {
			reported: storagev1alpha1.DirectoryStatus{State: storagev1alpha1.DirectoryFailed}, create: true,
		},
		"another volume has it": {
			reported: storagev1alpha1.DirectoryStatus{State: storagev1alpha1.DirectoryConflict, Marker: marker("x/b-0")},
			create:   true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.reported.ID = "x/a-0"
			agent := &storagev1alpha1.LocalVolumeNode{
				Spec: storagev1alpha1.LocalVolumeNodeSpec{
					Directories: []storagev1alpha1.DirectorySpec{{ID: "x/a-0", BasePath: "/mnt", Path: "a-0", Create: true}},
				},
				Status: storagev1alpha1.LocalVolumeNodeStatus{
					Directories: []storagev1alpha1.DirectoryStatus{test.reported},
				},
			}
			work := decide.Node(&decide.NodeState{Agent: agent})
			require.Equal(t, test.create, work.Directories[0].Create)
		})
	}
}

func TestOnlyWhatTheAgentHasToDoIsUrgent(t *testing.T) {
	t.Parallel()
	type work = storagev1alpha1.LocalVolumeNodeSpec
	directories := func(d ...storagev1alpha1.DirectorySpec) work { return work{Directories: d} }
	for name, test := range map[string]struct {
		before, after work
		want          bool
	}{
		"no difference": {},
		"the directory exists": {
			directories(storagev1alpha1.DirectorySpec{ID: "a", Create: true}),
			directories(storagev1alpha1.DirectorySpec{ID: "a", MachineID: "m", FileSystem: "f"}), false,
		},
		"the directory can be created again": {
			directories(storagev1alpha1.DirectorySpec{ID: "a"}),
			directories(storagev1alpha1.DirectorySpec{ID: "a", Create: true}), true,
		},
		"another machine": {
			directories(storagev1alpha1.DirectorySpec{ID: "a", MachineID: "m"}),
			directories(storagev1alpha1.DirectorySpec{ID: "a", MachineID: "n"}), true,
		},
		"any file system": {
			directories(storagev1alpha1.DirectorySpec{ID: "a", FileSystem: "f"}),
			directories(storagev1alpha1.DirectorySpec{ID: "a"}), true,
		},
		"another size": {
			directories(storagev1alpha1.DirectorySpec{ID: "a", Bytes: 1}),
			directories(storagev1alpha1.DirectorySpec{ID: "a", Bytes: 2}), true,
		},
		"a new directory": {directories(), directories(storagev1alpha1.DirectorySpec{ID: "a"}), true},
		"another directory": {
			directories(storagev1alpha1.DirectorySpec{ID: "a"}), directories(storagev1alpha1.DirectorySpec{ID: "b"}), true,
		},
		"a new base path": {after: work{BasePaths: []string{"/mnt"}}, want: true},
		"a wipe":          {after: work{Wipes: []storagev1alpha1.WipeSpec{{ID: "w"}}}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, decide.Urgent(test.before, test.after))
		})
	}
}
