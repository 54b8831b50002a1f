package observed_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

func TestPodIndexHasAllDigits(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"test-tasks-0": 0, "test-tasks-10": 10, "test-tasks-110": 110, "a-1-tasks-7": 7,
	} {
		index, ok := observed.PodIndex(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}})
		require.True(t, ok, name)
		require.Equal(t, want, index, name)
	}
	for _, name := range []string{"", "test", "test-", "test-tasks-x", "test-tasks-01", "test-tasks--1x"} {
		_, ok := observed.PodIndex(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}})
		require.False(t, ok, name)
	}
}
