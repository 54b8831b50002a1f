package rollout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestFirstCreationNeedsNoBudget(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, observed.State{
		Connector: decidetest.Connector(), Worker: decidetest.Worker(), Budget: &observed.Budget{},
	})
	s.Settle()
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(3)...)
	s.Settle()
	require.Equal(t, "3/3", s.State.Connector.Status.TaskSummary)
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(2)...)
	s.Settle()
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary, "a scale-down needs none either")
}

func TestRestartsThatAUserRequestsNeedNoBudget(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ annotation, value, pod string }{
		"of the connector":           {contract.Restart, "true", "test-connector-0"},
		"of the connector, from Git": {contract.Restart, "2026-05-04T12:00:00Z", "test-connector-0"},
		"of a task":                  {contract.RestartTask, "1", "test-tasks-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
			s.State.Budget = &observed.Budget{}
			s.State.Connector.Annotations = map[string]string{test.annotation: test.value}
			all, _ := rolled(s)
			require.Equal(t, []string{test.pod}, all)
		})
	}
}
