package decide_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

func TestTaskWaitsOnlyForPodsThatWillRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		other decide.Unit
		allow bool
	}{
		"another task runs":                         {other: decide.Unit{State: "Running"}, allow: true},
		"another task starts":                       {other: decide.Unit{State: "Starting"}},
		"another task is pending":                   {other: decide.Unit{State: "Pending"}},
		"another task is being replaced":            {other: decide.Unit{State: "Stopping"}},
		"another task has no pod":                   {other: decide.Unit{State: "Absent"}},
		"another task has failed":                   {other: decide.Unit{State: "Failed"}, allow: true},
		"another task starts again after a failure": {other: decide.Unit{State: "Starting", Restarts: 3}, allow: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.other.Name, test.other.Pod = "task 1", "sink-tasks-1"
			d := decide.Evict(given{
				request: eviction(), pod: strimziPod(), node: decide.Node{Unschedulable: true}, claimed: true,
				policies: policies(policy(drainv1alpha1.ModeSelfCheck, connect)),
				connector: &decide.Connector{Name: "sink", Units: []decide.Unit{
					{Name: "task 0", Pod: "my-cluster-kafka-1", State: "Running"}, test.other,
				}},
			}.live(), noon)
			assert.Equal(t, test.allow, d.Allow, d.Message)
			if !test.allow {
				assert.Equal(t, drainv1alpha1.ReasonTaskUnavailable, d.Reason)
				assert.Contains(t, d.Message, "task 1 is "+string(test.other.State))
			}
		})
	}
}
