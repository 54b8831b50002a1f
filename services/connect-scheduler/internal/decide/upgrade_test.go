package decide_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// restartsUntilSettled returns the names of the pods that restart until nothing is left to do.
func restartsUntilSettled(s *decidetest.Env) []string {
	s.Helper()
	var restarted []string
	for range 50 {
		plan := s.Step()
		for _, r := range plan.Restarts {
			restarted = append(restarted, r.Pod.Name)
		}
		s.RunPods()
		if plan.Empty() && !plan.StatusChanged() {
			return restarted
		}
	}
	s.Fatal("the plan does not become empty")
	return nil
}

func TestConfigMapsOfThePreviousVersionAreDeletedWhenTheLastPodThatMountsThemIsGone(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	s.MountConfigMaps()
	require.Empty(t, restartsUntilSettled(s), "an upgrade restarts no pod")
	require.Len(t, s.State.Objects.ConfigMaps, 2)
	require.Contains(t, s.ConnectorFiles(), "task-runner.json", "pods that start from now on mount the Secret")

	s.State.Connector.Spec.Task.Image = "runner:2"
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1"}, restartsUntilSettled(s))
	require.Len(t, s.State.Objects.ConfigMaps, 2, "the connector's pod still mounts one")

	s.State.Connector.Spec.Connector.Image = "runner:2"
	require.Equal(t, []string{"test-connector-0"}, restartsUntilSettled(s))
	require.Empty(t, s.State.Objects.ConfigMaps)
	require.Empty(t, restartsUntilSettled(s))
}

func TestConfigMapsThatAPodMayMountAreNotDeleted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*decidetest.Env)
		kept   int
	}{
		"no pod mounts them": {func(*decidetest.Env) {}, 0},
		"a pod of the previous version is being deleted": {func(s *decidetest.Env) {
			s.Pod("test-tasks-1").Annotations[desired.AnnotationTemplateHash] = "v2:another"
			s.Pod("test-tasks-1").DeletionTimestamp = ptr.To(metav1.NewTime(decidetest.Noon))
		}, 2},
		"the caches have not seen a pod": {func(s *decidetest.Env) {
			s.State.Objects.TaskSet.Status.Replicas = 3
		}, 2},
		"the StatefulSet controller has not observed the new template": {func(s *decidetest.Env) {
			s.State.Objects.TaskSet.Generation = s.State.Objects.TaskSet.Status.ObservedGeneration + 1
		}, 2},
		"a one-shot pod runs": {func(s *decidetest.Env) {
			s.Pods = append(s.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Name: "test-fence", Labels: map[string]string{
					contract.LabelType: contract.TypeOneShot, contract.LabelOneShot: contract.OneShotFence,
				},
			}})
		}, 2},
		"another controller owns one": {func(s *decidetest.Env) {
			s.State.Objects.ConfigMaps[0].OwnerReferences = []metav1.OwnerReference{
				{Kind: "Deployment", Name: "test", UID: "another", Controller: ptr.To(true)},
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
			for _, set := range []*appsv1.StatefulSet{s.State.Objects.ConnectorSet, s.State.Objects.TaskSet} {
				s.State.Objects.ConfigMaps = append(
					s.State.Objects.ConfigMaps, &corev1.ConfigMap{ObjectMeta: *set.ObjectMeta.DeepCopy()})
			}
			test.change(s)
			s.Step()
			require.Len(t, s.State.Objects.ConfigMaps, test.kept)
		})
	}
}

func TestUpgradeWhileANewSpecIsHeldBackRestartsNoPodAndItsCorrectionIsValidated(t *testing.T) {
	t.Parallel()
	for reason := range heldBack {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := holdBack(t, reason)
			s.MountConfigMaps()
			require.Empty(t, restartsUntilSettled(s))
			s.State.Connector.Spec.TasksMax = ptr.To[int32](2)
			require.Equal(t, []string{"test-connector-0"}, restartsUntilSettled(s))
			require.NotContains(t, s.ConnectorFiles(), "runner.json", "it is in the ConfigMap that the pods mount")
			require.Len(t, s.State.Objects.ConfigMaps, 2)

			s.State.Connector.Spec = decidetest.Connector().Spec
			s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "corrected"
			s.State.Worker, s.Termination = decidetest.Worker(), nil
			s.Remove("test-validate")
			candidate := s.Step().OneShots.OneShots
			require.Len(t, candidate, 1)
			require.Equal(t, "weir-runner", *candidate[0].Spec.Volumes[0].Name)
			require.True(t, *candidate[0].Spec.Volumes[0].Secret.Optional, "the Secret does not have the file yet")
			s.Settle()
			require.Contains(t, s.ConnectorFiles(), "runner.json")
		})
	}
}

func TestRunnerFilesOfASpecThatIsHeldBackAreNotWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*decidetest.Env){
		"with another connectorConfig":  heldBack[connectv1.ReasonConfigRejected],
		"with the same connectorConfig": heldBack[connectv1.ReasonImageMissing],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
			change(s)
			s.State.Connector.Spec.LoggingConfig = &connectv1.LoggingConfig{DefaultLoggerLevel: "TRACE"}
			before := s.ConnectorFiles()
			s.Settle()
			s.State.Connector.Spec.TasksMax = ptr.To[int32](2)
			s.Settle()
			after := s.ConnectorFiles()
			require.NotEqual(t, before["connector.json"], after["connector.json"], "tasks.max applies")
			require.Equal(t, before["runner.json"], after["runner.json"])
			require.Equal(t, before["task-runner.json"], after["task-runner.json"])
		})
	}
}

// The hashes are those of the previous version for the same connectors.
func TestHashesOfThePreviousVersionMatchTheTemplates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		connector *connectv1.KafkaConnector
		connect   *connectv1.KafkaConnect
		hashes    [2]string
	}{
		"the csid sample": {
			decidetest.Connector(), nil, [2]string{"v2:57c3c33ca5c4225c", "v2:798a4ceb9283abbb"},
		},
		"the KafkaConnect of Strimzi proposal 112": {
			decidetest.Referencing("orders"), decidetest.Connect(),
			[2]string{"v2:3de07a4662826aa7", "v2:2f82d9f123f75dec"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := withTaskSet(observed.State{Connector: test.connector, Connect: test.connect}, "aaaa")
			plan, err := decide.Connector(s, spec.Of(s))
			require.NoError(t, err)
			require.Len(t, plan.StatefulSets, 2)
			for i, set := range plan.StatefulSets {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
					Annotations: map[string]string{desired.AnnotationTemplateHash: test.hashes[i]},
				}}
				require.True(t, desired.MatchesTemplate(pod, set.Spec.Template), *set.Name)
				require.False(t, desired.MatchesTemplate(pod, plan.StatefulSets[1-i].Spec.Template))
			}
		})
	}
}
