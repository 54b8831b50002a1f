package lookup

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// writtenVolumes has the PersistentVolumes as volume-provisioner writes them.
const writtenVolumes = "../../../volume-provisioner/internal/decide/testdata/golden/confluent.yaml"

func TestPodWithVolumesOfVolumeProvisionerIsReportedAsPinnedToItsNode(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(writtenVolumes)
	require.NoError(t, err)
	written, err := testkit.DecodeYAML(string(content))
	require.NoError(t, err)
	require.Len(t, written, 9)
	var objects []runtime.Object
	var claims []string
	for _, object := range written {
		pv := &corev1.PersistentVolume{}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, pv))
		claims = append(claims, pv.Spec.ClaimRef.Name)
		objects = append(objects, pv, &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: pv.Spec.ClaimRef.Namespace, Name: pv.Spec.ClaimRef.Name},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: pv.Name},
		})
	}
	l := &Lookup{options: Options{Kube: fake.NewClientset(objects...)}}
	pod := &decide.Pod{
		Namespace: "default", Name: "cp-helm-charts-cp-kafka-0", UID: "uid", Node: "pc", Phase: corev1.PodRunning,
		Claims: claims,
	}
	pinned := l.Volumes(t.Context(), pod)
	require.Equal(t, claims, pinned.Value())

	d := decide.Evict(decide.State{
		Settings:     decide.Settings{DenyEviction: true},
		Request:      decide.Request{Eviction: true, Namespace: pod.Namespace, Name: pod.Name},
		WithoutKafka: decide.FromSyncedCache(false),
		Pod:          decide.FromLiveRead(pod),
		Policies: decide.FromLiveRead([]*drainv1alpha1.KafkaDrainPolicy{{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "kafka"},
			Spec: drainv1alpha1.KafkaDrainPolicySpec{
				Mode: drainv1alpha1.ModeDelegate, LocalVolumePolicy: drainv1alpha1.LocalVolumeDeny,
			},
		}}),
		Node:    decide.FromLiveRead(decide.Node{Name: pod.Node, Unschedulable: true}),
		Volumes: pinned,
	}, time.Now())
	require.Equal(t, decide.NeedNothing, d.Need)
	require.False(t, d.Allow)
	require.Equal(t, drainv1alpha1.ReasonPodPinnedToNode, d.Reason)
	require.Contains(t, d.Message, "only node pc can mount volume claim datadir-0-cp-helm-charts-cp-kafka-0")
}
