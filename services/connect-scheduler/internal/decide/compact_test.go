package decide_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// formats returns the format that the connector's pod may publish, and whether the tasks' pods mount the common part.
func formats(s *decidetest.Env) (string, bool) {
	mounted := slices.ContainsFunc(s.State.Objects.TaskSet.Spec.Template.Spec.Containers[0].VolumeMounts,
		func(m corev1.VolumeMount) bool { return m.MountPath == "/etc/weir/task-common" && m.SubPathExpr == "" })
	return observed.EnvOf(s.State.Objects.ConnectorSet, contract.TypeConnector, contract.EnvTaskFormat), mounted
}

func TestConnectorPublishesTheCompactFormatIfItsTasksCanReadIt(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	format, mounted := formats(s)
	require.Equal(t, contract.TaskFormatCompact, format)
	require.True(t, mounted)
	i := slices.IndexFunc(s.State.Objects.TaskSet.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == "weir-task-common"
	})
	secret := s.State.Objects.TaskSet.Spec.Template.Spec.Volumes[i].Secret
	require.True(t, *secret.Optional, "the Secret has no such key in the plain format")
	require.Equal(t, []corev1.KeyToPath{{Key: "common.json.gz", Path: "common.json.gz"}}, secret.Items,
		"a task does not see the configs of other tasks")

	connector := s.Pod("test-connector-0")
	s.State.Connector.Spec.Task.Image = "pinned:1"
	s.Settle()
	format, _ = formats(s)
	require.Equal(t, contract.TaskFormatCompact, format)
	require.Same(t, connector, s.Pod("test-connector-0"), "a change of the task's image does not restart the connector")

	// A task with another image may not know the format.
	s.State.TaskConfigs.Keys[contract.TaskCommonKey] = observed.SecretValue{Hash: "common"}
	s.Settle()
	format, mounted = formats(s)
	require.Empty(t, format)
	require.False(t, mounted)
}

func TestConnectorPublishesThePlainFormatIfATaskMayNotBeAbleToReadTheCompactOne(t *testing.T) {
	t.Parallel()
	c := decidetest.Connector()
	c.Spec.Task.Image = "pinned:1"
	s := decidetest.Running(t, c, decidetest.Hashes(2)...)
	format, _ := formats(s)
	require.Equal(t, contract.TaskFormatCompact, format, "small task configs have the plain format anyway")
	s.State.TaskConfigs.Keys[contract.TaskCommonKey] = observed.SecretValue{Hash: "common"}
	s.Settle()
	delete(s.State.TaskConfigs.Keys, contract.TaskCommonKey)
	s.Settle()
	format, mounted := formats(s)
	require.Empty(t, format, "also after the connector has published the plain format")
	require.False(t, mounted)
	s.State.Connector.Spec.Task.Image = c.Spec.Connector.Image
	s.Settle()
	format, mounted = formats(s)
	require.Equal(t, contract.TaskFormatCompact, format)
	require.True(t, mounted)
}

// plain returns a connector whose objects are those of an older version, which did not know the compact format.
func plain(t *testing.T) *decidetest.Env {
	c := decidetest.Connector()
	image := c.Spec.Task.Image
	// A task that may not be able to read the compact format has the same effect on the objects.
	c.Spec.Connector.Image = "other:1"
	s := decidetest.Running(t, c, decidetest.Hashes(3)...)
	s.State.TaskConfigs.Keys[contract.TaskCommonKey] = observed.SecretValue{Hash: "common"}
	s.Settle()
	delete(s.State.TaskConfigs.Keys, contract.TaskCommonKey)
	s.Settle()
	s.State.Connector.Spec.Connector.Image = image
	set := s.State.Objects.ConnectorSet.DeepCopy()
	set.Spec.Template.Spec.Containers[0].Image = image
	for _, annotations := range []map[string]string{set.Spec.Template.Annotations, s.Pod("test-connector-0").Annotations} {
		annotations[desired.AnnotationTemplateHash] = plainHash(s)
	}
	s.State.Objects.ConnectorSet = set
	return s
}

// plainHash returns the hash of the connector's template in the plain format.
func plainHash(s *decidetest.Env) string {
	e := spec.Of(s.State)
	_, sets, err := desired.NewBuilder(s.State, e).Sync(taskset.Read(s.State.Current(), e))
	require.NoError(s, err)
	return sets.Connector.Spec.Template.Annotations[desired.AnnotationTemplateHash]
}

func TestUpgradeKeepsThePlainFormatUntilTheTemplateOfTheTasksChanges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change    func(*decidetest.Env)
		restarted []string
		format    string
	}{
		"no change": {func(*decidetest.Env) {}, nil, ""},
		"other connectorConfig": {func(s *decidetest.Env) {
			s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
		}, []string{"test-connector-0"}, ""},
		"other resources of the tasks": {func(s *decidetest.Env) {
			s.State.Connector.Spec.Template = &connectv1.TemplateSpec{Task: &connectv1.WorkloadTemplate{
				Pod: &connectv1.PodTemplate{PriorityClassName: "high"},
			}}
		}, []string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-2"}, contract.TaskFormatCompact},
		"task configs that are too large": {func(s *decidetest.Env) {
			decidetest.Fail(s.Pod("test-connector-0"), `{"reason":"TaskConfigsTooLarge","message":"2 MiB"}`, 1)
		}, []string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-2"}, contract.TaskFormatCompact},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := plain(t)
			test.change(s)
			var restarted []string
			for range 30 {
				for _, r := range s.Step().Restarts {
					restarted = append(restarted, r.Pod.Name)
				}
				s.RunPods()
			}
			slices.Sort(restarted)
			require.Equal(t, test.restarted, restarted)
			format, mounted := formats(s)
			require.Equal(t, test.format, format)
			require.Equal(t, test.format != "", mounted)
		})
	}
}
