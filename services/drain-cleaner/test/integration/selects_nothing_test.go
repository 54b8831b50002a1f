package integration_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestPolicyThatSelectsNoPodShowsThatInItsColumns(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.CreatePolicy(t, ns, drainv1alpha1.KafkaDrainPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: testenv.KafkaLabels},
	})
	columns := func() map[string]string {
		output, err := env.Kubectl(t.Context(), "get", "kafkadrainpolicies", "-n", ns)
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSpace(output), "\n")
		require.Len(t, lines, 2, output)
		values, found := strings.Fields(lines[1]), map[string]string{}
		for i, name := range strings.Fields(lines[0]) {
			found[name] = values[i]
		}
		return found
	}
	env.WaitForStatus(t, ns, testenv.Condition(
		drainv1alpha1.ConditionReady, metav1.ConditionFalse, string(drainv1alpha1.ReasonNoPodsSelected)))
	assert.Equal(t, "0", columns()["PODS"])
	assert.Equal(t, "False", columns()["READY"])

	env.AddTestNodes(t, 2)
	env.StatefulSet(t, ns, "kafka", 2, testenv.KafkaLabels)
	env.WaitForStatus(t, ns, testenv.Condition(
		drainv1alpha1.ConditionReady, metav1.ConditionTrue, string(drainv1alpha1.ReasonPolicyActive)))
	assert.Equal(t, "2", columns()["PODS"])
	assert.Equal(t, "True", columns()["READY"])
}
