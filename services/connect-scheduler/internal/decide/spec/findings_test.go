package spec_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestFindings(t *testing.T) {
	t.Parallel()
	deleted := metav1.OwnerReference{
		APIVersion: "io.confluent.csid/v1",
		Kind:       "KafkaConnector",
		Name:       "test",
		UID:        "deleted-uid",
		Controller: ptr.To(true),
	}
	for name, test := range map[string]struct {
		change  func(*observed.State)
		reason  string
		message string
	}{
		"finds nothing in the sample of the csid Connect operator": {change: func(*observed.State) {}},
		"names the KafkaConnect that does not exist": {
			change: func(s *observed.State) { s.Connector.Spec.ConnectRef = &corev1.LocalObjectReference{Name: "nowhere"} },
			reason: connectv1.ReasonConnectNotFound,
			message: `spec.connectRef.name "nowhere": KafkaConnect not found in namespace kafka-connect-poc; create it or ` +
				`remove connectRef`,
		},
		"names the image that is missing": {
			change: func(s *observed.State) { s.Connector.Spec.Task.Image = "" },
			reason: connectv1.ReasonImageMissing,
			message: "spec.task.image is empty and the KafkaConnect of connectRef sets no image; set the image that runs " +
				"connect-runner",
		},
		"reports that no worker Secret is set": {
			change: func(s *observed.State) { s.Connector.Spec.WorkerConfigSecret = nil },
			reason: connectv1.ReasonWorkerSecretNotSet,
			message: "spec.workerConfigSecret.name is empty and the KafkaConnect of connectRef sets none; set the name of " +
				"the Secret with the key worker.properties",
		},
		"names the worker Secret that does not exist": {
			change: func(s *observed.State) { s.Worker = nil },
			reason: connectv1.ReasonWorkerSecretNotFound,
			message: `spec.workerConfigSecret.name "worker-config": Secret not found in namespace kafka-connect-poc; create ` +
				`it with the key worker.properties`,
		},
		"names the key that the worker Secret lacks": {
			change: func(s *observed.State) {
				s.Worker = &observed.Secret{Keys: map[string]observed.SecretValue{"worker.config": {}}}
			},
			reason: connectv1.ReasonWorkerKeyMissing,
			message: `spec.workerConfigSecret.name "worker-config": the Secret has no key worker.properties; add the key ` +
				`with the worker configuration`,
		},
		"refuses to override what Weir puts into the environment": {
			change: func(s *observed.State) {
				s.Connector.Spec.Template = &connectv1.TemplateSpec{
					WorkloadTemplate: connectv1.WorkloadTemplate{
						Container: &connectv1.ContainerTemplate{Env: []corev1.EnvVar{{Name: contract.EnvTaskID, Value: "0"}}},
					},
				}
			},
			reason: connectv1.ReasonReservedName,
			message: "spec.template.connector.container.env (or the template for all pods): TASK_ID is set by Weir; choose " +
				"another name",
		},
		"refuses a volume with a name of Weir's": {
			change: func(s *observed.State) {
				s.Connector.Spec.Template = &connectv1.TemplateSpec{
					Task: &connectv1.WorkloadTemplate{Pod: &connectv1.PodTemplate{Volumes: []corev1.Volume{{Name: "weir-task"}}}},
				}
			},
			reason: connectv1.ReasonReservedName,
			message: "spec.template.task.pod.volumes (or the template for all pods): weir-task has the reserved prefix " +
				"weir-; choose another name",
		},
		"refuses a mount that hides what Weir mounts": {
			change: func(s *observed.State) {
				s.Connector.Spec.Template = &connectv1.TemplateSpec{
					Task: &connectv1.WorkloadTemplate{
						Container: &connectv1.ContainerTemplate{
							VolumeMounts: []corev1.VolumeMount{{Name: "x", MountPath: "/etc/weir/"}},
						},
					},
				}
			},
			reason: connectv1.ReasonMountPathConflict,
			message: `spec.template.task.container.volumeMounts (or the template for all pods): mountPath "/etc/weir/": ` +
				`/etc/weir/runner is used by Weir; choose another directory`,
		},
		"refuses a shared volume over the plugins": {
			change: func(s *observed.State) {
				s.Connector.Spec.Storage = &connectv1.StorageSpec{Size: "1Gi", MountPath: "/var/lib/weir"}
			},
			reason: connectv1.ReasonMountPathConflict,
			message: `storage.mountPath "/var/lib/weir": /var/lib/weir/plugins is used by Weir; choose another directory, ` +
				`for example /mnt/shared`,
		},
		"does not take over the object of another owner": {
			change: func(s *observed.State) {
				s.Objects.TaskConfigs = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks"}}
			},
			reason: connectv1.ReasonNameConflict,
			message: "Secret test-tasks exists and is not managed by connect-scheduler; rename or delete it, or rename the " +
				"connector",
		},
		"ignores the Service of another owner if it needs none": {
			change: func(s *observed.State) {
				s.Objects.TaskService = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks"}}
			},
		},
		"waits until the objects of a deleted connector of the same name are gone": {
			change: func(s *observed.State) {
				s.Objects.TaskSet = &appsv1.StatefulSet{
					ObjectMeta: metav1.ObjectMeta{Name: "test-tasks", OwnerReferences: []metav1.OwnerReference{deleted}},
				}
			},
			reason:  connectv1.ReasonWaitingForDeletion,
			message: "waiting for the deletion of StatefulSet test-tasks, which belongs to a deleted connector of the same name",
		},
		"adopts what was orphaned": {
			change: func(s *observed.State) {
				s.Objects.TaskConfigs = &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{
						Name:   "test-tasks",
						Labels: map[string]string{contract.LabelManagedBy: observed.Manager, contract.LabelInstance: "test"},
					},
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := observed.State{
				Connector: decidetest.Connector(),
				Worker:    decidetest.Worker(),
				Settings:  decidetest.Settings(),
				Now:       decidetest.Noon,
			}
			test.change(&s)
			plan, err := decide.Connector(s, spec.Of(s))
			require.NoError(t, err)
			valid := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionConfigValid)
			if test.reason == "" {
				require.Equal(t, connectv1.ReasonAccepted, valid.Reason, valid.Message)
				require.False(t, plan.Empty())
				return
			}
			require.Equal(t, test.message, valid.Message)
			require.Equal(t, test.reason, valid.Reason)
			require.Equal(t, metav1.ConditionFalse, valid.Status)
			require.Equal(
				t,
				test.reason,
				decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady).Reason,
			)
			require.True(t, plan.Empty(), "nothing is made while the input cannot be used")
		})
	}
}

func TestRunningPodsAreUnchangedWhenTheSpecBecomesInvalid(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), "aaaa", "bbbb", "cccc")
	s.State.Worker = nil
	plan := s.Step()
	require.True(t, plan.Empty())
	require.EqualValues(t, 3, plan.Status.TasksReady)
}

func TestRunningPodsAreUnchangedWhileTheirNewVolumeCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		storage connectv1.StorageSpec
		class   observed.ClassState
		reason  string
	}{
		"the claim does not exist": {
			connectv1.StorageSpec{ExistingClaim: "nowhere", MountPath: "/mnt"}, observed.ClassUnknown,
			connectv1.ReasonClaimNotFound,
		},
		"the StorageClass does not exist": {
			connectv1.StorageSpec{Size: "1Gi", Class: "nowhere", MountPath: "/mnt"}, observed.ClassMissing,
			connectv1.ReasonStorageClassNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), "aaaa", "bbbb")
			pods := slices.Clone(s.Pods)
			s.State.Connector.Spec.Storage, s.State.Class = &test.storage, test.class
			s.Settle()
			valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
			require.Equal(t, test.reason, valid.Reason)
			require.Equal(t, pods, s.Pods)
			require.Nil(t, s.State.Claim, "a claim with a wrong class would have to be deleted again")
		})
	}
}

func TestScaleDownAppliesEvenIfTheSpecIsInvalid(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), "aaaa", "bbbb", "cccc")
	s.State.Worker = nil
	s.State.Connector.Spec.State = connectv1.StateStopped
	s.Settle()
	require.Empty(t, s.Pods)
	require.Equal(
		t,
		"runner",
		s.State.Objects.TaskSet.Spec.Template.Spec.Volumes[0].Name[len(spec.VolumePrefix):],
		"the rest of the StatefulSet is as it was",
	)
}
