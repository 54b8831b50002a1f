package rollout_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// pendingClaim returns a claim that is not bound, as of a class that waits for the first pod.
func pendingClaim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kafka-connect-poc", UID: "claim-uid"},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
}

func TestTasksKeepTheirPodsUntilTheConnectorHasMountedANewVolume(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	s.State.Connector.Spec.Storage = &connectv1.StorageSpec{ExistingClaim: "shared", MountPath: "/mnt/shared"}
	plan := s.Step()
	require.True(t, plan.Empty(), "the claim does not exist")
	ready := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady)
	require.Equal(t, connectv1.ReasonClaimNotFound, ready.Reason)

	s.State.Claim = pendingClaim("shared")
	s.Step()
	require.Equal(t, []string{"test-connector-0"}, names(s.Step().Restarts))
	s.RunPods()
	first := s.Pod("test-connector-0")
	working := slices.Clone(first.Status.Conditions)
	first.Status.Conditions[0].Status = corev1.ConditionFalse
	require.Empty(t, s.Step().Restarts, "the connector cannot mount the volume")
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
	working[0].Status = corev1.ConditionTrue
	first.Status.Conditions = working
	all, _ := rolled(s)
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1"}, all)
}

func TestLongClaimNameIsHashedInTheLabel(t *testing.T) {
	t.Parallel()
	const long = "a-claim-whose-name-has-more-than-sixty-three-characters-is-valid-too"
	c := decidetest.Connector()
	c.Spec.Storage = &connectv1.StorageSpec{ExistingClaim: long, MountPath: "/mnt/shared"}
	s := decidetest.New(t, observed.State{Connector: c, Worker: decidetest.Worker(), Claim: pendingClaim(long)})
	s.Step()
	label := s.State.Objects.ConnectorSet.Spec.Template.Labels["weir.dev/claim"]
	require.Equal(t, contract.TaskConfigHash([]byte(long)), label)
}
