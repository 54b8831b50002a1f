package rollout_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestRestartAnnotationThatStaysRestartsTheConnectorOnce(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	for _, value := range []string{"2026-05-04T12:00:00Z", "again", strings.Repeat("long", 100)} {
		s.State.Connector.Annotations = map[string]string{contract.Restart: value}
		all, _ := rolled(s)
		require.Equal(t, []string{"test-connector-0"}, all)
		require.Equal(t, value, s.State.Connector.Annotations[contract.Restart], "a sync from Git would add it again")
		all, _ = rolled(s)
		require.Empty(t, all)
	}
	require.Equal(t, contract.TaskConfigHash([]byte(strings.Repeat("long", 100))), s.State.Connector.Status.LastRestart)
	for _, value := range []string{"", "false"} {
		s.State.Connector.Annotations = map[string]string{contract.Restart: value}
		all, _ := rolled(s)
		require.Empty(t, all, "%q", value)
	}
	s.State.Connector.Annotations = map[string]string{contract.Restart: "true"}
	all, _ := rolled(s)
	require.Equal(t, []string{"test-connector-0"}, all)
	require.Empty(t, s.State.Connector.Annotations)
}

func TestRestartIsRecordedBeforeThePodRestarts(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.State.Connector.Annotations = map[string]string{contract.Restart: "monday"}
	s.Step()
	plan, err := decide.Connector(s.State, spec.Of(s.State))
	require.NoError(t, err)
	require.Equal(t, "monday", plan.Status.LastRestart)
	require.True(t, plan.StatusChanged(), "the status is written first")
	require.Equal(t, []string{"test-connector-0"}, names(plan.Restarts))
}

func TestNewConnectorWithARestartAnnotationDoesNotRestart(t *testing.T) {
	t.Parallel()
	c := decidetest.Connector()
	c.Annotations = map[string]string{contract.Restart: "monday"}
	s := decidetest.New(t, observed.State{Connector: c, Worker: decidetest.Worker()})
	all, _ := rolled(s)
	require.Empty(t, all)
	require.Equal(t, "monday", s.State.Connector.Status.LastRestart)
}
