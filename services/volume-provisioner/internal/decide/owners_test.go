package decide_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

func TestASetThatIsCreatedAgainHasItsVolumesAlthoughAnotherSetWantsThemForLonger(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, second, reason string
		lose                 func(*decidetest.World)
	}{
		{"claim", strings.Replace(small, "{name: s}", "{name: t}", 1), "ClaimInUse", nil},
		{
			"claim without PersistentVolume", strings.Replace(small, "{name: s}", "{name: t}", 1), "ClaimInUse",
			func(w *decidetest.World) { clear(w.PVs) },
		},
		{
			"claim on another path", strings.NewReplacer("{name: s}", "{name: t}", "/mnt/data", "/mnt/data/t").Replace(small),
			"ClaimInUse", func(w *decidetest.World) { clear(w.PVs) },
		},
		{"path", strings.Replace(small, "{name: s}", "{name: t, namespace: other}", 1), "PathInUse", nil},
		{
			"nested path", strings.NewReplacer("{name: s}", "{name: t, namespace: other}", "/mnt/data", "/mnt/data/data-1").
				Replace(small), "PathInUse", nil,
		},
	} {
		w := decidetest.New("a")
		w.AddSet(t, small)
		w.Settle(t)
		disk := maps.Clone(w.Disks["machine-a"])
		second := w.AddSet(t, test.second)
		w.Settle(t)
		delete(w.Sets, "default/s")
		if test.lose != nil {
			test.lose(w)
		}
		w.Settle(t)
		first := w.AddSet(t, small)
		require.True(t, second.CreationTimestamp.Before(&first.CreationTimestamp))
		w.Settle(t)
		require.Equal(t, "3/3", first.Status.Ready, "%s: %v", test.name, condition(first, "Ready"))
		require.Equal(t, metav1.ConditionFalse, condition(first, "Conflict").Status, test.name)
		require.Equal(t, test.reason, condition(second, "Conflict").Reason, test.name)
		for path, marker := range disk {
			require.Equal(t, marker, w.Disks["machine-a"][path], "%s: %s", test.name, path)
		}
	}
}

func TestVolumeThatIsBoundToAnotherClaimIsRestoredAfterThatClaim(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Settle(t)
	want := w.PVs["data-0"].DeepCopy()
	edited := want.DeepCopy()
	edited.Spec.ClaimRef.Name = "other"
	w.PVs["data-0"] = edited
	w.Claim("default", "other", "10Gi")
	w.Settle(t)
	require.Equal(t, "VolumeConflict", condition(set, "Conflict").Reason)
	require.Contains(t, condition(set, "Conflict").Message,
		"is bound to claim default/other; delete that claim, and the PersistentVolume is restored")
	w.DeleteClaim("default", "other")
	w.Claim("default", "data-0", "10Gi")
	w.Settle(t)
	require.Equal(t, metav1.ConditionFalse, condition(set, "Conflict").Status)
	require.Equal(t, want.UID, w.PVs["data-0"].UID)
	require.Equal(t, w.Claims["default/data-0"].UID, w.PVs["data-0"].Spec.ClaimRef.UID)
}
