package properties

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

const idlePeriod = 15 * time.Second

func TestIdleVolumesCauseNoWrite(t *testing.T) {
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	e := perturb.Env{ControlPlane: cp, Namespace: namespace}
	require.NoError(t, addNode(t.Context(), e))
	t.Cleanup(func() { require.NoError(t, removeAll(context.Background(), e)) })
	// client-go repeats the write of an event that failed after 10 s. The events are checked below.
	config, requests := transport.Wrap(account, transport.IgnoreResources("events"))
	testenv.Start(t, func(ctx context.Context) error { return testenv.Run(ctx, config) })
	agent := &testenv.Agent{Node: namespace + "-node", Machine: "machine", Root: filepath.Join(t.TempDir(), "root")}
	agent.Start(testenv.At(t, cp, namespace))
	_, err := cp.ApplyYAML(t.Context(), namespace, set(namespace, 50, "1Gi"))
	require.NoError(t, err)
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		if err := has("100/100", 0)(ctx, e); err != nil {
			return err
		}
		if quiet := time.Since(requests.LastWrite()); quiet < 3*time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})
	before, begin := len(requests.Writes()), time.Now()
	timer := time.NewTimer(idlePeriod)
	defer timer.Stop()
	<-timer.C
	require.Empty(t, requests.Writes()[before:])
	events, err := cp.Client().EventsV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, events.Items)
	for _, event := range events.Items {
		require.True(t, event.EventTime.Time.Before(begin) && (event.Series == nil ||
			event.Series.LastObservedTime.Time.Before(begin)), "an event of an idle set: %+v", event)
	}
	t.Logf("100 volumes: %d writes to create them, none in %s", before, idlePeriod)
}
