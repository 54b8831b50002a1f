package decide_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// The Secret `<connector>-connector` is the only place that holds the accepted configuration while a new spec is held
// back. If it is deleted, pods that restart wait for it.
func TestDeletedConnectorSecretIsWrittenAgainIfTheSpecTellsItsContent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(*decidetest.Env)
		restored bool
	}{
		"an image is held back": {func(s *decidetest.Env) { s.State.Connector.Spec.Task.Image = "" }, true},
		"a KafkaConnect is held back": {func(s *decidetest.Env) {
			s.State.Connector.Spec.ConnectRef = &corev1.LocalObjectReference{Name: "missing"}
		}, true},
		"connectorConfig is held back": {func(s *decidetest.Env) {
			s.Termination = rejected
			s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = ""
		}, false},
		"settings of connect-runner are held back": {func(s *decidetest.Env) {
			s.State.Connector.Spec.Task.Image = ""
			s.State.Connector.Spec.LoggingConfig = &connectv1.LoggingConfig{DefaultLoggerLevel: "DEBUG"}
		}, false},
	} {
		for scale, tasks := range map[string]string{"tasks.max stays": "", "tasks.max changes": "2"} {
			t.Run(name+" and "+scale, func(t *testing.T) {
				t.Parallel()
				s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
				test.change(s)
				s.Settle()
				secret, template := s.State.Objects.ConnectorSecret, s.State.Objects.ConnectorSet.Spec.Template
				require.NotNil(t, secret)
				if tasks != "" {
					s.State.Connector.Spec.ConnectorConfig["tasks.max"] = tasks
				}

				s.State.Objects.ConnectorSecret = nil
				s.Settle()

				restored := s.State.Objects.ConnectorSecret
				require.Equal(t, test.restored, restored != nil)
				valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
				require.NotEqual(t, test.restored, strings.Contains(valid.Message, "test-connector with the configuration"))
				if tasks != "" || restored == nil {
					return
				}
				require.Equal(t, secret.Data, restored.Data)
				require.Equal(t, template, s.State.Objects.ConnectorSet.Spec.Template, "no pod restarts")
			})
		}
	}
}
