package desired

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

func TestNewStatefulSetIsWrittenEarlyUnlessAMountedObjectIsUpdated(t *testing.T) {
	t.Parallel()
	meta := metav1.ObjectMeta{Name: "test-connector"}
	secret := &corev1.Secret{ObjectMeta: meta}
	for name, test := range map[string]struct {
		observed observed.Objects
		writes   Writes
		early    bool
	}{
		"all objects are new": {
			writes: Writes{
				Secrets: []*corev1ac.SecretApplyConfiguration{corev1ac.Secret("test-connector", "x")},
			},
			early: true,
		},
		"the StatefulSet was deleted": {
			observed: observed.Objects{ConnectorSecret: secret}, early: true,
		},
		"a mounted Secret is updated": {
			observed: observed.Objects{ConnectorSecret: secret},
			writes:   Writes{Secrets: []*corev1ac.SecretApplyConfiguration{corev1ac.Secret("test-connector", "x")}},
		},
		"the StatefulSet exists": {
			observed: observed.Objects{ConnectorSet: &appsv1.StatefulSet{ObjectMeta: meta}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := appsv1ac.StatefulSet("test-connector", "x")
			test.writes.StatefulSets = []*appsv1ac.StatefulSetApplyConfiguration{set}
			early, late := test.writes.StatefulSetsByOrder(test.observed)
			if test.early {
				require.Equal(t, test.writes.StatefulSets, early)
				require.Empty(t, late)
			} else {
				require.Empty(t, early)
				require.Equal(t, test.writes.StatefulSets, late)
			}
		})
	}
}
