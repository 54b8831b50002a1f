package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// store writes a file into the directory of each volume. The returned function requires that the files are there.
func store(
	e *testenv.Env, agents map[string]*testenv.Agent, set *storagev1alpha1.KafkaLocalVolumeSet,
) func(claims ...string) {
	e.Helper()
	files := map[string]string{}
	for _, v := range set.Status.Volumes {
		files[v.Claim] = filepath.Join(agents[v.Node].Root, v.Path, "data")
		require.NoError(e, os.WriteFile(files[v.Claim], []byte(v.Claim), 0o600))
	}
	return func(claims ...string) {
		e.Helper()
		for _, claim := range claims {
			content, err := os.ReadFile(files[claim])
			require.NoError(e, err)
			require.Equal(e, claim, string(content))
		}
	}
}

func agentsByNode(agents []*testenv.Agent) map[string]*testenv.Agent {
	named := map[string]*testenv.Agent{}
	for _, a := range agents {
		named[a.Node] = a
	}
	return named
}

// waitVolume waits until a volume has the phase and its message contains the text.
func waitVolume(
	e *testenv.Env, claim string, phase storagev1alpha1.LocalVolumePhase, message string,
) storagev1alpha1.LocalVolumeStatus {
	e.Helper()
	var found storagev1alpha1.LocalVolumeStatus
	e.Eventually(func(context.Context) error {
		for _, found = range e.Set("s").Status.Volumes {
			if found.Claim == claim && found.Phase == phase && strings.Contains(found.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("claim %s is not %s with %q: %+v", claim, phase, message, e.Set("s").Status.Volumes)
	})
	return found
}

func TestClaimDeletedWhileAPodUsesItKeepsItsDataAndBindsAgain(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	claim := e.Namespace + "-0"
	e.CreateClaims("1Gi", claim)
	hasData := store(e, agentsByNode(agents), e.WaitReady("s", "1/1", 1))
	e.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: x}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]
`, claim))
	pods, claims := e.Client().CoreV1().Pods(e.Namespace), e.Client().CoreV1().PersistentVolumeClaims(e.Namespace)
	e.Eventually(func(ctx context.Context) error {
		pod, err := pods.Get(ctx, "user", metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("the pod is %s", pod.Status.Phase)
		}
		return err
	})
	require.NoError(t, claims.Delete(t.Context(), claim, metav1.DeleteOptions{}))
	const advice = "is being deleted and pod user still uses it; delete the pod: the data stays, and a new claim binds " +
		"to it"
	waitVolume(e, claim, storagev1alpha1.PhaseBound, advice)
	require.Contains(t, e.WaitCondition("s", "Ready", metav1.ConditionFalse, "VolumePending"), advice)
	require.Equal(t, corev1.VolumeBound, e.PV(claim).Status.Phase)
	require.NoError(t, pods.Delete(t.Context(), "user", metav1.DeleteOptions{}))
	e.WaitReady("s", "1/1", 0)
	e.CreateClaims("1Gi", claim)
	e.WaitReady("s", "1/1", 1)
	hasData(claim)
}

func TestDeletedNodeThatComesBackHasItsVolumes(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	claim := e.Namespace + "-0"
	e.CreateClaims("1Gi", claim)
	hasData := store(e, agentsByNode(agents), e.WaitReady("s", "1/1", 1))
	uid := e.PV(claim).UID
	deleteNode(e, nodes[0])
	message := e.WaitCondition("s", "NodeLost", metav1.ConditionTrue, "NodeDeleted")
	require.Contains(t, message, "node "+nodes[0]+" does not exist; its directory /mnt/data/"+e.Namespace+"/"+claim+
		" is not touched: add the node again")
	addNode(e, nodes[0])
	e.WaitReady("s", "1/1", 1)
	require.Equal(t, uid, e.PV(claim).UID)
	hasData(claim)
}

func deleteNode(e *testenv.Env, name string) {
	e.Helper()
	require.NoError(e, e.Client().CoreV1().Nodes().Delete(e.Context(), name, metav1.DeleteOptions{}))
}

func addNode(e *testenv.Env, name string) {
	e.Helper()
	_, err := e.Client().CoreV1().Nodes().Create(e.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
	}, metav1.CreateOptions{})
	require.NoError(e, err)
	e.Cleanup(func() { _ = e.Client().CoreV1().Nodes().Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func TestLostReplicasMoveOneAtATimeWhileAllOthersAreBound(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(5)
	e.Apply(strings.Replace(manifest(e, 3, nodes), "basePath:", "nodeLoss: {policy: Replace, after: 5m}\n  basePath:", 1))
	claims := testenv.Claims(e.WaitReady("s", "3/3", 0))
	e.CreateClaims("1Gi", claims...)
	before := e.WaitReady("s", "3/3", 3)
	hasData := store(e, agentsByNode(agents), before)
	lost := []string{before.Status.Volumes[0].Node, before.Status.Volumes[1].Node}
	for _, node := range lost {
		deleteNode(e, node)
	}
	waitVolume(e, claims[0], storagev1alpha1.PhaseLost, "when its node has been gone for 5m")
	// The time passes: the condition has the time of the loss.
	e.Eventually(func(ctx context.Context) error {
		set := e.Set("s")
		meta.FindStatusCondition(set.Status.Conditions, "NodeLost").LastTransitionTime =
			metav1.NewTime(time.Now().Add(-time.Hour))
		_, err := e.Weir.StorageV1alpha1().KafkaLocalVolumeSets(e.Namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{})
		return err
	})
	waitVolume(e, claims[0], storagev1alpha1.PhaseLost, "the nodes of all other replicas exist; claim "+claims[1])
	e.DeleteClaims(claims[:2]...)
	e.CreateClaims("1Gi", claims[:2]...)
	waitVolume(e, claims[0], storagev1alpha1.PhaseLost, "claim "+claims[1])
	addNode(e, lost[1])
	moved := waitVolume(e, claims[0], storagev1alpha1.PhaseBound, "")
	after := e.WaitReady("s", "3/3", 3)
	require.NotContains(t, append(slices.Clone(lost), before.Status.Volumes[2].Node), moved.Node)
	require.Equal(t, lost[0], moved.Previous[0].Node)
	require.Equal(t, before.Status.Volumes[1].Node, after.Status.Volumes[1].Node, "only one replica moves")
	terms := e.PV(claims[0]).Spec.NodeAffinity.Required.NodeSelectorTerms
	require.Equal(t, []string{moved.Node}, terms[0].MatchExpressions[0].Values)
	hasData(claims...)
}

func TestFewerReplicasKeepTheVolumesOfTheOthers(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	e.Apply(manifest(e, 2, nodes))
	claim := e.Namespace + "-1"
	e.CreateClaims("1Gi", claim)
	hasData := store(e, agentsByNode(agents), e.WaitReady("s", "2/2", 1))
	e.Apply(manifest(e, 1, nodes))
	e.WaitReady("s", "1/1", 0)
	waitVolume(e, claim, storagev1alpha1.PhaseRetained, "the data is kept and used again after a scale-up")
	require.Equal(t, corev1.VolumeBound, e.PV(claim).Status.Phase)
	e.Apply(manifest(e, 2, nodes))
	e.WaitReady("s", "2/2", 1)
	hasData(claim)
}

func TestClaimsThatDoNotFitSayWhatToDoAndBindAfterwards(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, _ := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	claim := e.Namespace + "-0"
	e.CreateClaims("2Gi", claim)
	message := e.WaitCondition("s", "ClaimMismatch", metav1.ConditionTrue, "SizeTooLarge")
	require.Contains(t, message, "claim "+claim+" requests 2Gi, and PersistentVolume "+claim+" has 1Gi; raise")
	e.Apply(strings.Replace(manifest(e, 1, nodes), "1Gi", "2Gi", 1))
	e.WaitReady("s", "1/1", 1)
	e.WaitCondition("s", "ClaimMismatch", metav1.ConditionFalse, "ClaimsMatch")
}

func TestPersistentVolumeEditedByHandIsRestoredAndKeepsItsData(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	claim := e.Namespace + "-0"
	hasData := store(e, agentsByNode(agents), e.WaitReady("s", "1/1", 0))
	want := e.PV(claim)
	_, err := e.ControlPlane.Kubectl(t.Context(), "patch", "pv", claim, "--type=merge", "-p", `{"metadata": {"labels": `+
		`{"weir.dev/local-volume": null, "mine": "kept"}}, "spec": {"persistentVolumeReclaimPolicy": "Delete", `+
		`"storageClassName": "other", "capacity": {"storage": "9Gi"}, "claimRef": {"name": "x", "namespace": "y"}}}`)
	require.NoError(t, err)
	e.Eventually(func(context.Context) error {
		pv := e.PV(claim)
		if pv.Labels["weir.dev/local-volume"] != "true" || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.Name != claim {
			return fmt.Errorf("not restored: %+v", pv)
		}
		return nil
	})
	pv := e.PV(claim)
	require.Equal(t, "kept", pv.Labels["mine"])
	require.Equal(t, want.Spec, pv.Spec)
	e.Eventually(func(ctx context.Context) error {
		events, err := e.Client().EventsV1().Events(e.Namespace).List(ctx, metav1.ListOptions{})
		if err == nil && !slices.ContainsFunc(events.Items, func(event eventsv1.Event) bool {
			return event.Reason == storagev1alpha1.EventVolumeRestored && strings.Contains(event.Note, "spec.claimRef")
		}) {
			err = fmt.Errorf("no event names spec.claimRef: %v", events.Items)
		}
		return err
	})
	e.CreateClaims("1Gi", claim)
	e.WaitReady("s", "1/1", 1)
	hasData(claim)
}

func TestPersistentVolumeThatWasGivenToAnotherClaimSaysWhatToDoAndKeepsItsData(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	claim := e.Namespace + "-0"
	hasData := store(e, agentsByNode(agents), e.WaitReady("s", "1/1", 0))
	uid := e.PV(claim).UID
	patch := func(set, claimRef string) {
		_, err := e.ControlPlane.Kubectl(t.Context(), "patch", "pv", claim, "--type=merge", "-p", fmt.Sprintf(
			`{"metadata": {"annotations": {"storage.weir.dev/set": %q}}, "spec": {"claimRef": {"name": %q}}}`, set, claimRef))
		require.NoError(t, err)
	}
	conflict := func(message string) {
		e.Eventually(func(context.Context) error {
			got := e.WaitCondition("s", "Conflict", metav1.ConditionTrue, "VolumeConflict")
			if !strings.Contains(got, message) {
				return fmt.Errorf("the message is: %s", got)
			}
			return nil
		})
	}
	patch("another", "other")
	conflict("PersistentVolume " + claim + " belongs to KafkaLocalVolumeSet another; use the name of that set, or " +
		"delete the PersistentVolume")
	e.CreateClaims("1Gi", "other")
	e.WaitBound("other")
	patch("s", "other")
	conflict("is bound to claim " + e.Namespace + "/other; delete that claim, and the PersistentVolume is restored")
	e.DeleteClaims("other")
	e.CreateClaims("1Gi", claim)
	e.WaitReady("s", "1/1", 1)
	e.WaitCondition("s", "Conflict", metav1.ConditionFalse, "NoConflict")
	require.Equal(t, uid, e.PV(claim).UID)
	hasData(claim)
}

func TestRenamedNodeOfABoundClaimSaysWhatToDo(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	renamed, err := e.ControlPlane.AddNodes(t.Context(), 1)
	require.NoError(t, err)
	e.Apply(manifest(e, 1, append(nodes, renamed...)))
	claim := e.Namespace + "-0"
	e.CreateClaims("1Gi", claim)
	hasData := store(e, agentsByNode(agents), e.WaitReady("s", "1/1", 1))
	agents[0].Stop()
	deleteNode(e, nodes[0])
	(&testenv.Agent{Node: renamed[0], Machine: agents[0].Machine, Root: agents[0].Root}).Start(e)
	e.Eventually(func(context.Context) error {
		message := e.WaitCondition("s", "NodeLost", metav1.ConditionTrue, "NodeDeleted")
		if !strings.Contains(message, "because the node was renamed; delete the pod and claim "+claim+
			": a new claim binds to the same directory") {
			return fmt.Errorf("the message is: %s", message)
		}
		return nil
	})
	e.DeleteClaims(claim)
	e.CreateClaims("1Gi", claim)
	set := e.WaitReady("s", "1/1", 1)
	e.WaitCondition("s", "NodeLost", metav1.ConditionFalse, "NodesExist")
	require.Equal(t, renamed[0], set.Status.Volumes[0].Node)
	hasData(claim)
}
