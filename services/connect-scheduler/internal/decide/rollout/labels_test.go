package rollout_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestLabelsReachRunningPodsWithoutARestart(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Labels = map[string]string{
		"project": "something else", "helm.sh/chart": "connect-1.2.3",
		"apps.kubernetes.io/pod-index": "9", contract.LabelType: "mine",
	}
	s.State.Connector.Spec.Template = &connectv1.TemplateSpec{Task: &connectv1.WorkloadTemplate{
		Metadata: &connectv1.TemplateMetadata{Labels: map[string]string{"team": "platform"}},
	}}
	pod(s, "test-tasks-1").Labels["added-by"] = "another client"
	all, _ := rolled(s)
	require.Empty(t, all)
	for _, p := range s.Pods {
		require.Equal(t, "something else", p.Labels["project"], p.Name)
		require.Equal(t, "connect-1.2.3", p.Labels["helm.sh/chart"], p.Name)
		require.NotContains(t, p.Labels, "cost-center", "the KafkaConnector no longer has the label")
		require.NotContains(t, p.Labels, "apps.kubernetes.io/pod-index", "the StatefulSet controller sets the label")
		require.NotEqual(t, "mine", p.Labels[contract.LabelType])
	}
	require.Equal(t, "platform", pod(s, "test-tasks-1").Labels["team"])
	require.Equal(t, "another client", pod(s, "test-tasks-1").Labels["added-by"])
	require.NotContains(t, pod(s, "test-connector-0").Labels, "team")
	require.Equal(t, "connect-1.2.3", s.State.Objects.TaskSet.Spec.Template.Labels["helm.sh/chart"])
}

func TestLabelsThatAnotherClientChangesOnAPodAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	pod(s, "test-tasks-0").Labels["project"] = "changed by a webhook"
	require.Empty(t, s.Step().Metadata)
}

func TestUpgradeRestartsNoPodWithAHashOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change    func(*connectv1.KafkaConnector)
		restarted int
	}{
		"the spec is the same": {func(*connectv1.KafkaConnector) {}, 0},
		"the labels change during the upgrade": {func(c *connectv1.KafkaConnector) {
			c.Labels = map[string]string{"helm.sh/chart": "2"}
		}, 0},
		"the image of the tasks changes during the upgrade": {func(c *connectv1.KafkaConnector) {
			c.Spec.Task.Image = "another:2"
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
			s.MountConfigMaps()
			for _, p := range s.Pods {
				set := s.State.Objects.TaskSet
				if p.Labels[contract.LabelType] == contract.TypeConnector {
					set = s.State.Objects.ConnectorSet
				}
				managed, err := appsv1ac.ExtractStatefulSet(set, decide.Manager)
				require.NoError(t, err)
				p.Annotations[desired.AnnotationTemplateHash] = decidetest.HashOfTemplate(
					managed.Spec.Template, maps.Clone(p.Labels))
				delete(p.Annotations, desired.AnnotationLabels)
				p.Labels["apps.kubernetes.io/pod-index"], p.Labels["topology.kubernetes.io/zone"] = "0", "a"
			}
			test.change(s.State.Connector)
			all, _ := rolled(s)
			require.Len(t, all, test.restarted)
			for _, p := range s.Pods {
				require.Regexp(t, "^v[23]:", p.Annotations[desired.AnnotationTemplateHash])
				require.Equal(t, s.State.Connector.Labels["helm.sh/chart"], p.Labels["helm.sh/chart"])
			}
			s.State.Connector.Labels = map[string]string{"helm.sh/chart": "3"}
			all, _ = rolled(s)
			require.Empty(t, all, "labels restart no pod after the upgrade either")
		})
	}
}
