package decide_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

func TestOnlyNumbersOfVolumesAreWrittenLater(t *testing.T) {
	t.Parallel()
	status := func(conditionType string, volumes int32) kadaluv1alpha1.KadaluStorageStatus {
		return kadaluv1alpha1.KadaluStorageStatus{
			PersistentVolumes: volumes, Conditions: []metav1.Condition{{Type: conditionType, Status: metav1.ConditionFalse}},
		}
	}
	quota, ready := kadaluv1alpha1.ConditionQuotaEnforced, kadaluv1alpha1.ConditionReady
	require.True(t, decide.OnlyVolumes(status(quota, 1), status(quota, 2)))
	none := kadaluv1alpha1.KadaluStorageStatus{}
	require.True(t, decide.OnlyVolumes(status(quota, 1), none), "the condition of the volumes")
	require.False(t, decide.OnlyVolumes(status(ready, 1), none), "another condition")
}
