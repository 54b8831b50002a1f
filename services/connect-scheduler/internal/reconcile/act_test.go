package reconcile

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
)

// server stores one KafkaConnector and accepts merge patches of its current version.
type server struct {
	version string
	patches []string
}

func (s *server) Patch(
	_ context.Context, name string, kind types.PatchType, data []byte, _ metav1.PatchOptions, subresources ...string,
) (*connectv1.KafkaConnector, error) {
	patch := struct{ Metadata metav1.ObjectMeta }{}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	if kind != types.MergePatchType || len(subresources) != 1 || subresources[0] != "status" {
		return nil, apierrors.NewBadRequest("not a merge patch of the status")
	}
	if patch.Metadata.ResourceVersion != s.version {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "kafkaconnectors"}, name, nil)
	}
	s.patches = append(s.patches, string(data))
	return &connectv1.KafkaConnector{}, nil
}

func TestStatusIsNotWrittenOverANewerOne(t *testing.T) {
	t.Parallel()
	s := &server{version: "2"}
	c := &connectv1.KafkaConnector{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", ResourceVersion: "1"}}
	before := connectv1.KafkaConnectorStatus{
		State: connectv1.PhaseRunning, LastRestart: "once",
		Connector: &connectv1.ConnectorStatus{State: connectv1.PodRunning, Node: "n"},
	}
	after := connectv1.KafkaConnectorStatus{
		State: connectv1.PhaseStopped, Connector: &connectv1.ConnectorStatus{State: connectv1.PodAbsent},
	}
	require.ErrorIs(t, writeStatus(t.Context(), s, c, before, after), errStale)
	require.Empty(t, s.patches)
	c.ResourceVersion = "2"
	require.NoError(t, writeStatus(t.Context(), s, c, before, after))
	require.Len(t, s.patches, 1)
	require.JSONEq(t, `{"metadata": {"uid": "u", "resourceVersion": "2"}, "status": {
		"state": "Stopped", "lastRestart": null, "connector": {"state": "Absent", "node": null, "restarts": 0},
		"tasksDesired": 0, "tasksReady": 0, "restarts": 0
	}}`, s.patches[0])
}
