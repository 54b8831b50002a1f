package desired

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

func TestPullPolicyDefaultsAsInKubernetes(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]corev1.PullPolicy{
		"runner": corev1.PullAlways, "runner:latest": corev1.PullAlways, "registry:5000/runner": corev1.PullAlways,
		"runner:1": corev1.PullIfNotPresent, "registry:5000/a/runner:1": corev1.PullIfNotPresent,
		"runner@sha256:abc": corev1.PullIfNotPresent, "runner:latest@sha256:abc": corev1.PullIfNotPresent,
	} {
		require.Equal(t, want, pullPolicy("", image), image)
		require.Equal(t, corev1.PullNever, pullPolicy(corev1.PullNever, image), image)
	}
}

func TestConnectRunnerKnowsTheGracePeriodOfItsPod(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		all, task       *int64
		connector, want string
	}{
		"default":           {nil, nil, "60", "60"},
		"for all pods":      {ptr.To[int64](300), nil, "300", "300"},
		"for tasks":         {nil, ptr.To[int64](30), "60", "30"},
		"for all and tasks": {ptr.To[int64](300), ptr.To[int64](30), "300", "30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &connectv1.KafkaConnector{Spec: connectv1.KafkaConnectorSpec{Template: &connectv1.TemplateSpec{
				WorkloadTemplate: connectv1.WorkloadTemplate{
					Pod: &connectv1.PodTemplate{TerminationGracePeriodSeconds: test.all},
				},
				Task: &connectv1.WorkloadTemplate{
					Pod: &connectv1.PodTemplate{TerminationGracePeriodSeconds: test.task},
				},
			}}}
			s := observed.State{Connector: c}
			b := NewBuilder(s, spec.Of(s))
			for want, r := range map[string]role{
				"connector " + test.connector: b.connector, "task " + test.want: b.tasks,
			} {
				pod, passed := r.podSpec(), ""
				for _, v := range pod.Containers[0].Env {
					if *v.Name == contract.EnvGracePeriod {
						passed = r.podType + " " + *v.Value
					}
				}
				require.Equal(t, want, passed)
				require.Equal(t, want, fmt.Sprintf("%s %d", r.podType, *pod.TerminationGracePeriodSeconds))
			}
		})
	}
}
