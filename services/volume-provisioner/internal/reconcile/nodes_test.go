package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	weirfake "github.com/weir-dev/weir/generated/clientset/versioned/fake"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

func TestLocalVolumeNodesWaitForPlacementsThatAreBeingWrittenButNotForever(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	agent := &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", ResourceVersion: "1"}}
	client := weirfake.NewClientset(agent.DeepCopy())
	c := cachesOf(t, placedSet("x", "a", "n"))
	c.settings = spec.Settings{AllowedBasePaths: []string{"/mnt"}}
	require.NoError(t, c.agents.GetIndexer().Add(agent))
	r := &nodes{
		caches: c, act: actor{weir: client}, reserved: &reservations{},
		written: newPace(nodeInterval, clock), waiting: newPace(batchLimit, clock),
	}
	reconcile := func() time.Duration {
		result, err := r.Reconcile(t.Context(), controller.Key{Name: "n"})
		require.NoError(t, err)
		return result.RequeueAfter
	}
	written := func() int {
		node, err := client.StorageV1alpha1().LocalVolumeNodes().Get(t.Context(), "n", metav1.GetOptions{})
		require.NoError(t, err)
		return len(node.Spec.Directories)
	}
	other := placedSet("x", "b", "")
	r.reserved.begin(other, other.Status)
	for range int(batchLimit / batchDelay) {
		require.Equal(t, batchDelay, reconcile())
		now = now.Add(batchDelay)
	}
	require.Zero(t, written())
	require.Zero(t, reconcile())
	require.Equal(t, 1, written(), "after the limit")
	// The cache has not observed the write.
	require.Equal(t, nodeInterval, reconcile(), "the next write comes later")
	now = now.Add(nodeInterval)
	require.Equal(t, batchDelay, reconcile(), "and waits for placements again")
	r.reserved.end(controller.Key{Namespace: "x", Name: "b"}, nil, nil)
	require.Zero(t, reconcile())
}
