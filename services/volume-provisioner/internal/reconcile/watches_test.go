package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
)

func TestThatAPersistentVolumeBecomesAvailableChangesNoDecisionAboutASet(t *testing.T) {
	t.Parallel()
	phase := func(phase corev1.PersistentVolumePhase) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Status.Phase = phase }
	}
	for name, test := range map[string]struct {
		change func(*corev1.PersistentVolume)
		same   bool
	}{
		"the binder has seen it": {change: phase(corev1.VolumeAvailable), same: true},
		"another version": {
			change: func(pv *corev1.PersistentVolume) { pv.ResourceVersion = "2" }, same: true,
		},
		"it is bound":    {change: phase(corev1.VolumeBound)},
		"it is released": {change: phase(corev1.VolumeReleased)},
		"it has failed":  {change: phase(corev1.VolumeFailed)},
		"another one has its name": {
			change: func(pv *corev1.PersistentVolume) { pv.UID = "other" },
		},
		"it is being deleted": {
			change: func(pv *corev1.PersistentVolume) { pv.DeletionTimestamp = &metav1.Time{Time: time.Unix(1000, 0)} },
		},
		"another size": {change: func(pv *corev1.PersistentVolume) {
			pv.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		}},
		"another claim": {change: func(pv *corev1.PersistentVolume) {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "x", Name: "b"}
		}},
		"a label":       {change: func(pv *corev1.PersistentVolume) { pv.Labels = map[string]string{"a": "b"} }},
		"an annotation": {change: func(pv *corev1.PersistentVolume) { pv.Annotations = map[string]string{"a": "b"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", ResourceVersion: "1"}}
			pv.Status.Phase = corev1.VolumePending
			changed := pv.DeepCopy()
			test.change(changed)
			require.Equal(t, test.same, sameVolume(pv, changed))
			require.Equal(t, test.same, sameVolume(changed, pv))
		})
	}
}

func TestAWriteThatAnotherClientOvertookIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err       error
		overtaken bool
	}{
		"another client was faster": {
			err:       apierrors.NewConflict(corev1.Resource("persistentvolumes"), "a", nil),
			overtaken: true,
		},
		"no other client": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", ResourceVersion: "1"}}
			client := fake.NewClientset(pv)
			client.PrependReactor("update", "persistentvolumes",
				func(clienttesting.Action) (bool, runtime.Object, error) { return test.err != nil, nil, test.err })
			a := actor{kube: client, creating: newActivity(time.Now)}
			done, err := a.volumes(t.Context(), decide.Plan{Update: []decide.Update{{Live: pv, Want: pv.DeepCopy()}}})
			require.NoError(t, err)
			require.Equal(t, test.overtaken, done.overtaken)
		})
	}
}
