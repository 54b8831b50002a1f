package decide

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

func TestFindings(t *testing.T) {
	t.Parallel()
	former := metav1.OwnerReference{APIVersion: "io.confluent.csid/v1", Kind: "KafkaConnector", Name: "test", UID: "former-uid", Controller: ptr.To(true)}
	for name, test := range map[string]struct {
		change  func(*State)
		reason  string
		message string
	}{
		"finds nothing in the seed's manifest": {change: func(*State) {}},
		"names the KafkaConnect that does not exist": {
			change: func(s *State) { s.Connector.Spec.ConnectRef = &corev1.LocalObjectReference{Name: "nowhere"} },
			reason: connectv1.ReasonConnectNotFound, message: `spec.connectRef.name "nowhere": there is no such KafkaConnect in namespace kafka-connect-poc; create it, or remove connectRef`,
		},
		"names the image that is missing": {
			change: func(s *State) { s.Connector.Spec.Task.Image = "" },
			reason: connectv1.ReasonImageMissing, message: "spec.task.image is empty, and the KafkaConnect of connectRef has none either; name the image that runs connect-runner",
		},
		"names the worker Secret that nobody names": {
			change: func(s *State) { s.Connector.Spec.WorkerConfigSecret = nil },
			reason: connectv1.ReasonWorkerSecretNotSet, message: "spec.workerConfigSecret.name is empty, and the KafkaConnect of connectRef has none either; name the Secret that holds worker.properties",
		},
		"names the worker Secret that does not exist": {
			change: func(s *State) { s.Worker = nil },
			reason: connectv1.ReasonWorkerSecretNotFound, message: `spec.workerConfigSecret.name "worker-config": there is no such Secret in namespace kafka-connect-poc; create it with the key worker.properties`,
		},
		"names the key that the worker Secret lacks": {
			change: func(s *State) { s.Worker = &SecretFacts{Keys: map[string]KeyFacts{"worker.config": {}}} },
			reason: connectv1.ReasonWorkerKeyMissing, message: `spec.workerConfigSecret.name "worker-config": the Secret has no key worker.properties; put the worker's configuration there`,
		},
		"refuses to override what Weir puts into the environment": {
			change: func(s *State) {
				s.Connector.Spec.Template = &connectv1.TemplateSpec{WorkloadTemplate: connectv1.WorkloadTemplate{Container: &connectv1.ContainerTemplate{Env: []corev1.EnvVar{{Name: contract.EnvTaskID, Value: "0"}}}}}
			},
			reason: connectv1.ReasonReservedName, message: "spec.template.connector.container.env (or the one for all pods): TASK_ID is set by Weir; choose another name",
		},
		"refuses a volume with a name of Weir's": {
			change: func(s *State) {
				s.Connector.Spec.Template = &connectv1.TemplateSpec{Task: &connectv1.WorkloadTemplate{Pod: &connectv1.PodTemplate{Volumes: []corev1.Volume{{Name: "weir-task"}}}}}
			},
			reason: connectv1.ReasonReservedName, message: "spec.template.task.pod.volumes (or the one for all pods): names that begin with weir- belong to Weir, as weir-task does; choose another name",
		},
		"refuses a mount that hides what Weir mounts": {
			change: func(s *State) {
				s.Connector.Spec.Template = &connectv1.TemplateSpec{Task: &connectv1.WorkloadTemplate{Container: &connectv1.ContainerTemplate{VolumeMounts: []corev1.VolumeMount{{Name: "x", MountPath: "/etc/weir/"}}}}}
			},
			reason: connectv1.ReasonMountPathConflict, message: `spec.template.task.container.volumeMounts (or the one for all pods): mountPath "/etc/weir/": /etc/weir/runner is used by Weir; choose another directory`,
		},
		"refuses a shared volume over the plugins": {
			change: func(s *State) {
				s.Connector.Spec.Storage = &connectv1.StorageSpec{Size: "1Gi", MountPath: "/var/lib/weir"}
			},
			reason: connectv1.ReasonMountPathConflict, message: `storage.mountPath "/var/lib/weir": /var/lib/weir/plugins is used by Weir; choose a directory of its own, for example /mnt/shared`,
		},
		"leaves an object of somebody else alone": {
			change: func(s *State) {
				s.Live.TaskConfigs = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks"}}
			},
			reason: connectv1.ReasonNameConflict, message: "Secret test-tasks belongs to somebody else, and the connector needs one of that name; rename or delete it, or give the connector another name",
		},
		"does not mind a Service of somebody else where it wants none": {
			change: func(s *State) {
				s.Live.TaskService = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks"}}
			},
		},
		"waits until what a former connector of the name left is gone": {
			change: func(s *State) {
				s.Live.TaskSet = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks", OwnerReferences: []metav1.OwnerReference{former}}}
			},
			reason: connectv1.ReasonWaitingForDeletion, message: "waiting until StatefulSet test-tasks of the former connector of this name is deleted",
		},
		"adopts what was orphaned": {
			change: func(s *State) {
				s.Live.TaskConfigs = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks", Labels: map[string]string{contract.LabelManagedBy: Manager, contract.LabelInstance: "test"}}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := State{Connector: seed(), Worker: workerFacts(), Now: noon}
			test.change(&s)
			plan, err := Connector(s)
			require.NoError(t, err)
			valid := toldOf(t, plan.Status.Conditions, connectv1.ConditionConfigValid)
			if test.reason == "" {
				require.Equal(t, connectv1.ReasonAccepted, valid.Reason, valid.Message)
				require.False(t, plan.Empty())
				return
			}
			require.Equal(t, test.message, valid.Message)
			require.Equal(t, test.reason, valid.Reason)
			require.Equal(t, metav1.ConditionFalse, valid.Status)
			require.Equal(t, test.reason, toldOf(t, plan.Status.Conditions, connectv1.ConditionReady).Reason)
			require.True(t, plan.Empty(), "nothing is made while the input cannot be used")
		})
	}
}

func toldOf(t testing.TB, conditions []metav1.Condition, kind string) metav1.Condition {
	t.Helper()
	for _, c := range conditions {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("there is no condition %s", kind)
	return metav1.Condition{}
}

func TestWhatRunsGoesOnWhenItsInputBreaks(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), "aaaa", "bbbb", "cccc")
	s.state.Worker = nil
	plan := s.step()
	require.True(t, plan.Empty())
	require.EqualValues(t, 3, plan.Status.TasksReady)
}

func TestWhatIsToStopStopsEvenIfItsInputIsBroken(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), "aaaa", "bbbb", "cccc")
	s.state.Worker = nil
	s.state.Connector.Spec.State = connectv1.StateStopped
	s.settle()
	require.Empty(t, s.state.Pods)
	require.Equal(t, "runner", s.state.Live.TaskSet.Spec.Template.Spec.Volumes[0].Name[len(volumePrefix):], "the rest of the StatefulSet is as it was")
}
