package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// foreignObjects have names that connect-scheduler derives from the KafkaConnector test.
var foreignObjects = map[string]string{
	"Secret": `
apiVersion: v1
kind: Secret
metadata: {name: test-tasks}
stringData: {mine: precious}
`,
	"StatefulSet": `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: test-tasks}
spec:
  replicas: 0
  serviceName: x
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: c}]}
`,
}

func TestForeignObjectIsKeptAndItsDeletionStartsTheConnector(t *testing.T) {
	t.Parallel()
	for kind, manifest := range foreignObjects {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			env := testenv.New(t)
			env.ApplyWorkerConfig()
			env.Apply(manifest)
			env.Apply(testenv.Manifest("test", 1))
			c := env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, connectv1.ReasonNameConflict)
			require.Contains(t, c.Message, kind+" test-")
			name := strings.Fields(c.Message)[1]
			require.NotContains(t, env.Kubectl("get", kind, name, "-o", "yaml"), "connect-scheduler")
			env.Kubectl("delete", kind, name)
			env.WaitReady("test", 1)
		})
	}
}
