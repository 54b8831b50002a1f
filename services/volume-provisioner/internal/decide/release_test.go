package decide_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

func TestAPersistentVolumeIsReleasedOnceAlthoughItsPhaseChangesLater(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Settle(t)
	w.Claim("default", "data-1", "10Gi")
	w.Settle(t)
	w.DeleteClaim("default", "data-1")
	s := w.Observe(set.DeepCopy())
	plan := decide.Set(s)
	require.Len(t, plan.Release, 1)
	w.Apply(t, s, plan)

	// The PersistentVolume controller has not yet seen the write.
	pv := w.PVs["data-1"].DeepCopy()
	pv.Status.Phase = corev1.VolumeReleased
	w.PVs["data-1"] = pv
	require.Empty(t, decide.Set(w.Observe(set.DeepCopy())).Release)
}
