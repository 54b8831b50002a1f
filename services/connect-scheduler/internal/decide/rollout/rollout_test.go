package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/rollout"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func names(restarts []rollout.Restart) []string {
	var found []string
	for _, r := range restarts {
		found = append(found, r.Pod.Name)
	}
	return found
}

// rolled plays until all is settled, and returns the pods that were restarted, in order, and how many at most at once.
func rolled(s *decidetest.Env) (all []string, most int) {
	for range 100 {
		plan := s.Step()
		all = append(all, names(plan.Restarts)...)
		most = max(most, len(plan.Restarts))
		s.RunPods()
		if plan.Empty() && !plan.StatusChanged() {
			return all, most
		}
	}
	s.Fatal("the roll does not end")
	return nil, 0
}

func TestChangedTaskConfigRestartsOnlyItsTask(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(12), decidetest.Hashes(12)...)
	changed := decidetest.Hashes(12)
	changed[10] = "another"
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, changed...)
	all, _ := rolled(s)
	require.Equal(t, []string{"test-tasks-10"}, all)
}

func TestScaleUpRestartsNoTask(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Spec.TasksMax = ptr.To[int32](5)
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(5)...)
	all, _ := rolled(s)
	require.Equal(t, []string{"test-connector-0"}, all, "the connector restarts, to hear of the new tasks.max")
	require.Equal(t, "5/5", s.State.Connector.Status.TaskSummary)
}

func TestRolloutOfAllTasksRespectsMaxUnavailable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bound *intstr.IntOrString
		most  int
	}{
		"a quarter where nothing is set": {nil, 3},
		"a number":                       {ptr.To(intstr.FromInt32(5)), 5},
		"a percentage, rounded up":       {ptr.To(intstr.FromString("10%")), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := decidetest.Large(12)
			c.Spec.MaxUnavailable = test.bound
			s := decidetest.Running(t, c, decidetest.Hashes(12)...)
			s.State.Connector.Spec.Task.Image = "another:2"
			all, most := rolled(s)
			require.Len(t, all, 12)
			require.Equal(t, test.most, most)
		})
	}
}

func TestUnavailableTasksCountAgainstMaxUnavailable(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	s.State.Connector.Spec.Task.Image = "another:2"
	s.Step() // writes the StatefulSet, and restarts nothing before it is settled
	s.Remove("test-tasks-3")
	require.Empty(t, s.Step().Restarts, "one is missing, and no more than one may be down")
	s.RunPods()
	require.Len(t, s.Step().Restarts, 1)
}

func TestOutdatedTasksThatAreNotReadyRestartAtOnce(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	for _, pod := range s.Pods[1:] {
		decidetest.Fail(pod, "", 3)
	}
	s.State.Connector.Spec.Task.Image = "fixed:2"
	s.Step()
	require.Len(t, s.Step().Restarts, 4)
}

func TestNoPodRestartsBeforeTheStatefulSetControllerHasObservedTheTemplate(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Spec.Task.Image = "another:2"
	require.Empty(t, s.Step().Restarts)
	s.State.Objects.TaskSet = s.State.Objects.TaskSet.DeepCopy()
	s.State.Objects.TaskSet.Generation = 2
	require.Empty(t, s.Step().Restarts, "a pod deleted now could come back as it was")
	s.State.Objects.TaskSet.Status.ObservedGeneration = 2
	require.Len(t, s.Step().Restarts, 1)
}

func TestTerminatingPodIsNotDeletedAgain(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.State.Connector.Spec.Task.Image = "another:2"
	s.Step()
	for _, pod := range s.Pods {
		pod.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon}
	}
	require.Empty(t, s.Step().Restarts)
}

func TestRequestedRestarts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		annotation, value string
		restarted         []string
	}{
		"restart the connector":                {contract.Restart, "true", []string{"test-connector-0"}},
		"restart one task":                     {contract.RestartTask, "2", []string{"test-tasks-2"}},
		"a task that does not exist is let go": {contract.RestartTask, "7", nil},
		"a value that means nothing is let go": {contract.RestartTask, "all", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
			s.State.Connector.Annotations = map[string]string{test.annotation: test.value}
			all, _ := rolled(s)
			require.Equal(t, test.restarted, all)
			require.Empty(t, s.State.Connector.Annotations, "the annotation is removed when it is done")
		})
	}
}

func TestRequestedRestartHappensExactlyOnce(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Annotations = map[string]string{contract.RestartTask: "1"}
	first, err := decide.Connector(s.State, spec.Of(s.State))
	require.NoError(t, err)
	require.Equal(t, "test-tasks-1", first.Mark[0].Name)
	require.Empty(t, first.Done, "the request stays until its pod is marked")
	require.Empty(t, first.Restarts)
	s.CarryOut(first)
	second, err := decide.Connector(s.State, spec.Of(s.State))
	require.NoError(t, err)
	require.Equal(t, []string{contract.RestartTask}, second.Done)
	require.Empty(t, second.Restarts, "the pod stays until the request is gone")
	s.CarryOut(second)
	third, err := decide.Connector(s.State, spec.Of(s.State))
	require.NoError(t, err)
	require.Equal(t, []string{"test-tasks-1"}, names(third.Restarts))
}

func TestMarkedPodsRestartWithinMaxUnavailable(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	for _, pod := range s.Pods {
		if pod.Labels[contract.LabelType] == contract.TypeTask {
			pod.Annotations[contract.ManualRollingUpdate] = "true"
		}
	}
	all, most := rolled(s)
	slices.Sort(all)
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1", "test-tasks-2", "test-tasks-3"}, all)
	require.Equal(t, 1, most)
}

func TestOnePodRestartsForAPendingFileSystemResize(t *testing.T) {
	t.Parallel()
	c := decidetest.Connector()
	c.Spec.Storage = &connectv1.StorageSpec{Size: "2Gi", MountPath: "/mnt/shared"}
	s := decidetest.Running(t, c, decidetest.Hashes(3)...)
	s.State.Claim = s.State.Claim.DeepCopy()
	s.State.Claim.Status.Phase = corev1.ClaimBound
	s.State.Claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	s.State.Claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{
		{
			Type:               corev1.PersistentVolumeClaimFileSystemResizePending,
			Status:             corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(decidetest.Noon.Add(time.Minute)),
		},
	}
	plan := s.Step()
	require.Equal(t, []string{"test-tasks-0"}, names(plan.Restarts))
	s.RunPods()
	for _, pod := range s.Pods {
		if pod.Name == "test-tasks-0" {
			pod.CreationTimestamp = metav1.NewTime(decidetest.Noon.Add(2 * time.Minute))
		}
	}
	require.Empty(t, s.Step().Restarts, "one is enough")
}
