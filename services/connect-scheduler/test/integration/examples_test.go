package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// exampleTasks lists the connectors of each example with their number of tasks.
var exampleTasks = map[string]map[string]int32{
	"worker-config.yaml": {},
	"csid-sample.yaml":   {"test": 3},
	"templates.yaml":     {"syslog": 2},
	"shared-volume.yaml": {"orders-to-file": 1, "file-to-archive": 1},
}

func TestEveryExampleRuns(t *testing.T) {
	t.Parallel()
	for _, file := range testenv.Examples() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			connectors, found := exampleTasks[file]
			require.True(t, found, "add %s to exampleTasks", file)
			env := testenv.New(t)
			env.ApplyWorkerConfig()
			env.BindClaim(strimziClaim, "rook-cephfs", "1Gi", corev1.ReadWriteMany)
			env.Apply(testenv.Example(file))
			for name, tasks := range connectors {
				env.WaitReady(name, tasks)
			}
		})
	}
}
