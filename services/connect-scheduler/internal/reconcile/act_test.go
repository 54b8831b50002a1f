package reconcile

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
)

// server stores the status of one KafkaConnector and accepts those of its current version.
type server struct {
	version string
	written []connectv1.KafkaConnectorStatus
}

func (s *server) UpdateStatus(
	_ context.Context, c *connectv1.KafkaConnector, _ metav1.UpdateOptions,
) (*connectv1.KafkaConnector, error) {
	if c.ResourceVersion != s.version || c.UID != "u" {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "kafkaconnectors"}, c.Name, nil)
	}
	s.written = append(s.written, c.Status)
	return c, nil
}

func TestStatusIsNotWrittenOverANewerOne(t *testing.T) {
	t.Parallel()
	s := &server{version: "2"}
	c := &connectv1.KafkaConnector{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", ResourceVersion: "1"}}
	after := connectv1.KafkaConnectorStatus{
		State: connectv1.PhaseStopped, Connector: &connectv1.ConnectorStatus{State: connectv1.PodAbsent},
	}
	c.Status = after
	require.ErrorIs(t, writeStatus(t.Context(), s, c), errStale)
	require.Empty(t, s.written)
	c.ResourceVersion = "2"
	require.NoError(t, writeStatus(t.Context(), s, c))
	require.Equal(t, []connectv1.KafkaConnectorStatus{after}, s.written)
}
