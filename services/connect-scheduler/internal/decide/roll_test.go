package decide

import (
	"fmt"
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
)

func hashes(n int) []string {
	found := make([]string, n)
	for i := range found {
		found[i] = fmt.Sprintf("hash-%d", i)
	}
	return found
}

func large(n int) *connectv1.KafkaConnector {
	c := seed()
	c.Spec.ConnectorConfig["tasks.max"] = fmt.Sprint(n)
	return c
}

func names(restarts []Restart) []string {
	var found []string
	for _, r := range restarts {
		found = append(found, r.Pod.Name)
	}
	return found
}

// rolled plays until all is settled, and returns the pods that were restarted, in order, and how many at most at once.
func (s *sim) rolled() (all []string, most int) {
	for range 100 {
		plan := s.step()
		all = append(all, names(plan.Restarts)...)
		most = max(most, len(plan.Restarts))
		s.runPods()
		if plan.Empty() && !plan.StatusChanged() {
			return all, most
		}
	}
	s.Fatal("the roll does not end")
	return nil, 0
}

func TestAChangeToOneTasksConfigRestartsThatTaskAndNoOther(t *testing.T) {
	t.Parallel()
	s := runningSim(t, large(12), hashes(12)...)
	changed := hashes(12)
	changed[10] = "another"
	s.state.TaskConfigs = publishedBy(s.state.Connector, changed...)
	all, _ := s.rolled()
	require.Equal(t, []string{"test-tasks-10"}, all)
}

func TestMoreTasksRestartNone(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.state.Connector.Spec.TasksMax = ptr.To[int32](5)
	s.state.TaskConfigs = publishedBy(s.state.Connector, hashes(5)...)
	all, _ := s.rolled()
	require.Equal(t, []string{"test-connector-0"}, all, "the connector restarts, to hear of the new tasks.max")
	require.Equal(t, "5/5", s.state.Connector.Status.TaskSummary)
}

func TestAChangeToAllTasksIsBoundedByMaxUnavailable(t *testing.T) {
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
			c := large(12)
			c.Spec.MaxUnavailable = test.bound
			s := runningSim(t, c, hashes(12)...)
			s.state.Connector.Spec.Task.Image = "another:2"
			all, most := s.rolled()
			require.Len(t, all, 12)
			require.Equal(t, test.most, most)
		})
	}
}

func TestTasksThatAreDownAlreadyCountAgainstMaxUnavailable(t *testing.T) {
	t.Parallel()
	s := runningSim(t, large(4), hashes(4)...)
	s.state.Connector.Spec.Task.Image = "another:2"
	s.step() // writes the StatefulSet, and restarts nothing before it is settled
	s.remove("test-tasks-3")
	require.Empty(t, s.step().Restarts, "one is missing, and no more than one may be down")
	s.runPods()
	require.Len(t, s.step().Restarts, 1)
}

func TestABrokenTaskIsReplacedWhateverElseIsDown(t *testing.T) {
	t.Parallel()
	s := runningSim(t, large(4), hashes(4)...)
	for _, pod := range s.state.Pods[1:] {
		fail(pod, "", 3)
	}
	s.state.Connector.Spec.Task.Image = "fixed:2"
	s.step()
	require.Len(t, s.step().Restarts, 4)
}

func TestNoPodRestartsBeforeTheStatefulSetControllerHasSeenTheChange(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.state.Connector.Spec.Task.Image = "another:2"
	require.Empty(t, s.step().Restarts)
	s.state.Live.TaskSet = s.state.Live.TaskSet.DeepCopy()
	s.state.Live.TaskSet.Generation = 2
	require.Empty(t, s.step().Restarts, "a pod deleted now could come back as it was")
	s.state.Live.TaskSet.Status.ObservedGeneration = 2
	require.Len(t, s.step().Restarts, 1)
}

func TestAPodOnItsWayOutIsNotDeletedAgain(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(1)...)
	s.state.Connector.Spec.Task.Image = "another:2"
	s.step()
	for _, pod := range s.state.Pods {
		pod.DeletionTimestamp = &metav1.Time{Time: noon}
	}
	require.Empty(t, s.step().Restarts)
}

func TestRestartsOnRequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		annotation, value string
		restarted         []string
	}{
		"restart the connector":                    {contract.Restart, "true", []string{"test-connector-0"}},
		"restart one task":                         {contract.RestartTask, "2", []string{"test-tasks-2"}},
		"a task that does not exist is let go":     {contract.RestartTask, "7", nil},
		"a value that means nothing is let go":     {contract.RestartTask, "all", nil},
		"a restart that is not true is let go too": {contract.Restart, "please", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runningSim(t, seed(), hashes(3)...)
			s.state.Connector.Annotations = map[string]string{test.annotation: test.value}
			all, _ := s.rolled()
			require.Equal(t, test.restarted, all)
			require.Empty(t, s.state.Connector.Annotations, "the annotation is removed when it is done")
		})
	}
}

func TestARequestedRestartHappensOnceWhateverIsLostInBetween(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.state.Connector.Annotations = map[string]string{contract.RestartTask: "1"}
	first, err := Connector(s.state)
	require.NoError(t, err)
	require.Equal(t, "test-tasks-1", first.Mark[0].Name)
	require.Empty(t, first.Done, "the request stays until its pod is marked")
	require.Empty(t, first.Restarts)
	s.carryOut(first)
	second, err := Connector(s.state)
	require.NoError(t, err)
	require.Equal(t, []string{contract.RestartTask}, second.Done)
	require.Empty(t, second.Restarts, "the pod stays until the request is gone")
	s.carryOut(second)
	third, err := Connector(s.state)
	require.NoError(t, err)
	require.Equal(t, []string{"test-tasks-1"}, names(third.Restarts))
}

func TestAMarkedPodIsMovedWithinMaxUnavailable(t *testing.T) {
	t.Parallel()
	s := runningSim(t, large(4), hashes(4)...)
	for _, pod := range s.state.Pods {
		if pod.Labels[contract.LabelType] == contract.TypeTask {
			pod.Annotations[contract.ManualRollingUpdate] = "true"
		}
	}
	all, most := s.rolled()
	slices.Sort(all)
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1", "test-tasks-2", "test-tasks-3"}, all)
	require.Equal(t, 1, most)
}

func TestOnePodRestartsForAFileSystemThatWaitsToGrow(t *testing.T) {
	t.Parallel()
	c := seed()
	c.Spec.Storage = &connectv1.StorageSpec{Size: "2Gi", MountPath: "/mnt/shared"}
	s := runningSim(t, c, hashes(3)...)
	s.state.Claim = s.state.Claim.DeepCopy()
	s.state.Claim.Status.Phase = corev1.ClaimBound
	s.state.Claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	s.state.Claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: corev1.PersistentVolumeClaimFileSystemResizePending, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(time.Minute))}}
	plan := s.step()
	require.Equal(t, []string{"test-tasks-0"}, names(plan.Restarts))
	s.runPods()
	for _, pod := range s.state.Pods {
		if pod.Name == "test-tasks-0" {
			pod.CreationTimestamp = metav1.NewTime(noon.Add(2 * time.Minute))
		}
	}
	require.Empty(t, s.step().Restarts, "one is enough")
}

func TestPodIndexIsTheWholeNumber(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"test-tasks-0": 0, "test-tasks-10": 10, "test-tasks-110": 110, "a-1-tasks-7": 7} {
		index, ok := podIndex(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}})
		require.True(t, ok, name)
		require.Equal(t, want, index, name)
	}
	for _, name := range []string{"", "test", "test-", "test-tasks-x", "test-tasks-01", "test-tasks--1x"} {
		_, ok := podIndex(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}})
		require.False(t, ok, name)
	}
}

// fail gives a pod the status of one that has ended with an error.
func fail(pod *corev1.Pod, message string, restarts int32) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Labels[contract.LabelType], RestartCount: restarts,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: message}}}}
}
