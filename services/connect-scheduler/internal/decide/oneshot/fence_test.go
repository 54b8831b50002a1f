package oneshot_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestRecreatedExactlyOnceSourceWaitsForTheTasksOfTheDeletedOne(t *testing.T) {
	t.Parallel()
	for name, hasTaskSet := range map[string]bool{"before its StatefulSet exists": false, "after that": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
			old := decidetest.ReadyPod("test-tasks", 5, contract.TypeTask)
			old.OwnerReferences = []metav1.OwnerReference{{Kind: "StatefulSet", UID: "deleted", Controller: new(true)}}
			s.Step()
			s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(2)...)
			s.State.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] = "true"
			if hasTaskSet {
				// The caches have not shown the pod before.
				s.Step()
				require.EqualValues(t, 2, *s.State.Objects.TaskSet.Spec.Replicas)
			}
			s.Pods = append(s.Pods, old)
			for range 5 {
				s.Step()
				if set := s.State.Objects.TaskSet; set != nil {
					require.Zero(t, *set.Spec.Replicas)
				}
			}
			published := decidetest.Condition(
				t, s.State.Connector.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
			require.Equal(t, connectv1.ReasonFencing, published.Reason)
			require.Equal(t, "exactly-once: waiting for 1 tasks of a deleted connector of the same name to stop",
				published.Message)
			s.Remove(old.Name)
			s.Settle()
			require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
		})
	}
}
