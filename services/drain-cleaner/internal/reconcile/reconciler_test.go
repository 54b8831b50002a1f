package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/controller"
)

// reconciles counts the reconciles of a policy whose drain does not change, without events.
func reconciles(policy *drainv1alpha1.KafkaDrainPolicy, duration time.Duration) (n int) {
	var drains drainChanges
	start := time.Now()
	for now := start; now.Sub(start) < duration; n++ {
		now = now.Add(drains.interval(controller.Key{Name: "a"}, policy, n == 0, now))
	}
	return n
}

func TestDrainsThatDoNotChangeAreReconciledLessAndLessOften(t *testing.T) {
	t.Parallel()
	policy := &drainv1alpha1.KafkaDrainPolicy{}
	require.Equal(t, 5, reconciles(policy, 30*time.Second), "after 0, 3, 6, 12 and 24 s")
	require.Equal(t, 24, reconciles(policy, 10*time.Minute), "then every 30 s")
	policy.Spec.BootstrapServers = "kafka:9092"
	require.Equal(t, 10, reconciles(policy, 30*time.Second), "Kafka reports no changes")
	policy.Spec.BootstrapServers, policy.Spec.Role = "", drainv1alpha1.RoleConnect
	require.Equal(t, 10, reconciles(policy, 30*time.Second), "connectors are not watched")
}

func TestChangedDrainIsReconciledSoonAgain(t *testing.T) {
	t.Parallel()
	var drains drainChanges
	key, policy, now := controller.Key{Name: "a"}, &drainv1alpha1.KafkaDrainPolicy{}, time.Now()
	require.Equal(t, drainingInterval, drains.interval(key, policy, false, now), "the first reconcile of the process")
	now = now.Add(time.Hour)
	require.Equal(t, maxDrainingInterval, drains.interval(key, policy, false, now))
	require.Equal(t, drainingInterval, drains.interval(key, policy, true, now), "the drain has changed")
	drains.forget(key)
	require.Empty(t, drains.at)
}
