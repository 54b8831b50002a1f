package observed_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

func TestTaskPodsAreFoundByTheNumberAtTheEndOfTheirName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"test-tasks-0": 0, "test-tasks-10": 10, "test-tasks-110": 110, "a-1-tasks-7": 7,
	} {
		pods := podsOf(contract.TypeTask, name)
		require.Len(t, pods.Tasks, 1, name)
		require.Equal(t, want, pods.Tasks[want].Index, name)
	}
	for _, name := range []string{"", "test", "test-", "test-tasks-x", "test-tasks-01", "test-tasks--1x"} {
		pods := podsOf(contract.TypeTask, name)
		require.Empty(t, pods.Tasks, name)
		require.Len(t, pods.Workload, 1, "the connector is not stopped while %q exists", name)
	}
}

func TestOneShotPodsOfAnotherConnectorAreIgnored(t *testing.T) {
	t.Parallel()
	for name, found := range map[string]int{"test-validate": 1, "other-validate": 0, "test-other-validate": 0} {
		require.Len(t, podsOf(contract.TypeOneShot, name).OneShots, found, name)
	}
}

func podsOf(podType, name string) observed.Pods {
	return observed.NewPods("test", []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{
			contract.LabelType: podType, contract.LabelOneShot: contract.OneShotValidate,
		},
	}}})
}
