package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
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
		caches: c, act: actor{weir: client, creating: newActivity(clock)}, reserved: &reservations{},
		written: controller.NewPace(nodeInterval, clock), waiting: newWaits(clock), recording: newWaits(clock),
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
	batchDelay, batchLimit := batch(1)
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
	r.reserved.end(controller.Key{Namespace: "x", Name: "b"}, nil, nil, now)
	require.Equal(t, batchDelay, reconcile(), "and for those that may follow")
	now = now.Add(batchDelay)
	require.Zero(t, reconcile())
}

// withNewDirectory returns a LocalVolumeNode whose agent has reported a directory that the spec does not record yet.
func withNewDirectory() *storagev1alpha1.LocalVolumeNode {
	return &storagev1alpha1.LocalVolumeNode{
		ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", ResourceVersion: "1"},
		Spec: storagev1alpha1.LocalVolumeNodeSpec{Directories: []storagev1alpha1.DirectorySpec{
			{ID: "x/a-0", BasePath: "/mnt/data", Path: "a-0", SetName: "a", Create: true},
		}, BasePaths: []string{"/mnt/data"}},
		Status: storagev1alpha1.LocalVolumeNodeStatus{Directories: []storagev1alpha1.DirectoryStatus{{
			ID: "x/a-0", State: storagev1alpha1.DirectoryReady,
			Marker: &storagev1alpha1.DirectoryMarker{ID: "x/a-0", SetName: "a"},
		}}},
	}
}

func TestADirectoryThatIsNotRecordedDoesNotShortenTheWaitForPlacements(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	agent := withNewDirectory()
	client := weirfake.NewClientset(agent.DeepCopy())
	c := cachesOf(t, placedSet("x", "a", "n"))
	c.settings = spec.Settings{AllowedBasePaths: []string{"/mnt"}}
	require.NoError(t, c.agents.GetIndexer().Add(agent))
	r := &nodes{
		caches: c, act: actor{weir: client, creating: newActivity(clock)}, reserved: &reservations{},
		written: controller.NewPace(nodeInterval, clock), waiting: newWaits(clock), recording: newWaits(clock),
	}
	reconcile := func() time.Duration {
		result, err := r.Reconcile(t.Context(), controller.Key{Name: "n"})
		require.NoError(t, err)
		return result.RequeueAfter
	}
	r.act.creating.begin()
	delay, limit := batch(1)
	for range 2 * int(limit/delay) / 5 {
		require.Equal(t, 5*delay, reconcile())
		now = now.Add(5 * delay)
	}
	require.NoError(t, c.sets.GetIndexer().Update(placedSet("x", "a", "n", "n")))
	other := placedSet("x", "b", "")
	r.reserved.begin(other, other.Status)
	for range int(limit / delay) {
		require.Equal(t, delay, reconcile())
		now = now.Add(delay)
	}
	require.Zero(t, reconcile(), "after the limit")
	node, err := client.StorageV1alpha1().LocalVolumeNodes().Get(t.Context(), "n", metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, node.Spec.Directories, 2)
}

func TestDirectoriesThatExistAreRecordedAfterPersistentVolumesWereCreatedButNotForever(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// ended is true if the creation of PersistentVolumes has ended, and urgent if the agent has new work.
		ended, urgent bool
		// phase is that of the PersistentVolume, if there is one.
		phase corev1.PersistentVolumePhase
		want  time.Duration
	}{
		"PersistentVolumes are being created": {want: 10 * time.Second},
		"the last one was created just now":   {ended: true, want: 500 * time.Millisecond},
		"the binder has not seen the last one": {
			ended: true, phase: corev1.VolumePending, want: 10 * time.Second,
		},
		"the binder has seen the last one": {
			ended: true, phase: corev1.VolumeAvailable, want: 500 * time.Millisecond,
		},
		"the agent has new work": {urgent: true, phase: corev1.VolumePending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Unix(1000, 0)
			now := begin
			clock := func() time.Time { return now }
			set := placedSet("x", "a", "n")
			if test.urgent {
				set = placedSet("x", "a", "n", "n")
			}
			agent := withNewDirectory()
			client := weirfake.NewClientset(agent.DeepCopy())
			c := cachesOf(t, set)
			c.settings = spec.Settings{AllowedBasePaths: []string{"/mnt"}}
			require.NoError(t, c.agents.GetIndexer().Add(agent))
			if test.phase != "" {
				require.NoError(t, c.volumes.GetIndexer().Add(&corev1.PersistentVolume{
					ObjectMeta: metav1.ObjectMeta{Name: "a-0"},
					Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "x", Name: "a-0"}},
					Status:     corev1.PersistentVolumeStatus{Phase: test.phase},
				}))
			}
			creating := newActivity(clock)
			r := &nodes{
				caches: c, act: actor{weir: client, creating: creating}, reserved: &reservations{},
				written: controller.NewPace(nodeInterval, clock), waiting: newWaits(clock), recording: newWaits(clock),
			}
			creating.begin()
			if test.ended {
				creating.end()
			}
			for {
				result, err := r.Reconcile(t.Context(), controller.Key{Name: "n"})
				require.NoError(t, err)
				if result.RequeueAfter == 0 {
					break
				}
				now = now.Add(result.RequeueAfter)
				require.Less(t, now.Sub(begin), time.Minute)
			}
			require.Equal(t, test.want, now.Sub(begin))
			node, err := client.StorageV1alpha1().LocalVolumeNodes().Get(t.Context(), "n", metav1.GetOptions{})
			require.NoError(t, err)
			require.False(t, node.Spec.Directories[0].Create)
		})
	}
}

func TestManyLocalVolumeNodesWaitForLongerThanFew(t *testing.T) {
	t.Parallel()
	for nodes, want := range map[int][2]time.Duration{
		1:    {50 * time.Millisecond, 2 * time.Second},
		20:   {50 * time.Millisecond, 2 * time.Second},
		50:   {125 * time.Millisecond, 5 * time.Second},
		1000: {250 * time.Millisecond, 10 * time.Second},
	} {
		delay, limit := batch(nodes)
		require.Equal(t, want, [2]time.Duration{delay, limit}, nodes)
	}
}
