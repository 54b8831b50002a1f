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

// nodesOf is a reconciler of the LocalVolumeNode n with a clock of its own.
type nodesOf struct {
	*nodes
	*testing.T
	client *weirfake.Clientset
	now    time.Time
}

func newNodes(
	t *testing.T, agent *storagev1alpha1.LocalVolumeNode, sets ...*storagev1alpha1.KafkaLocalVolumeSet,
) *nodesOf {
	t.Helper()
	r := &nodesOf{T: t, client: weirfake.NewClientset(agent.DeepCopy()), now: time.Unix(1000, 0)}
	clock := func() time.Time { return r.now }
	c := cachesOf(t, sets...)
	c.settings = spec.Settings{AllowedBasePaths: []string{"/mnt"}}
	require.NoError(t, c.agents.GetIndexer().Add(agent))
	r.nodes = &nodes{
		caches: c, act: actor{weir: r.client, creating: newActivity(clock)}, reserved: &reservations{},
		written: controller.NewPace(nodeInterval, clock), waiting: newWaits(clock), recording: newWaits(clock),
	}
	return r
}

// reconcile reconciles once, and returns the time until the next reconcile.
func (r *nodesOf) reconcile() time.Duration {
	r.Helper()
	result, err := r.Reconcile(r.Context(), controller.Key{Name: "n"})
	require.NoError(r, err)
	return result.RequeueAfter
}

// directories returns those in the spec that was written.
func (r *nodesOf) directories() []storagev1alpha1.DirectorySpec {
	r.Helper()
	node, err := r.client.StorageV1alpha1().LocalVolumeNodes().Get(r.Context(), "n", metav1.GetOptions{})
	require.NoError(r, err)
	return node.Spec.Directories
}

func TestLocalVolumeNodesWaitForPlacementsThatAreBeingWrittenButNotForever(t *testing.T) {
	t.Parallel()
	agent := &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", ResourceVersion: "1"}}
	r := newNodes(t, agent, placedSet("x", "a", "n"))
	other := placedSet("x", "b", "")
	r.reserved.begin(other, other.Status)
	batchDelay, batchLimit := batch(1)
	for range int(batchLimit / batchDelay) {
		require.Equal(t, batchDelay, r.reconcile())
		r.now = r.now.Add(batchDelay)
	}
	require.Empty(t, r.directories())
	require.Zero(t, r.reconcile())
	require.Len(t, r.directories(), 1, "after the limit")
	// The cache has not observed the write.
	require.Equal(t, nodeInterval, r.reconcile(), "the next write comes later")
	r.now = r.now.Add(nodeInterval)
	require.Equal(t, batchDelay, r.reconcile(), "and waits for placements again")
	r.reserved.end(controller.Key{Namespace: "x", Name: "b"}, nil, nil, r.now)
	require.Equal(t, batchDelay, r.reconcile(), "and for those that may follow")
	r.now = r.now.Add(batchDelay)
	require.Zero(t, r.reconcile())
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
	r := newNodes(t, withNewDirectory(), placedSet("x", "a", "n"))
	r.act.creating.begin()
	delay, limit := batch(1)
	for range 2 * int(limit/delay) / 5 {
		require.Equal(t, 5*delay, r.reconcile())
		r.now = r.now.Add(5 * delay)
	}
	require.NoError(t, r.caches.sets.GetIndexer().Update(placedSet("x", "a", "n", "n")))
	other := placedSet("x", "b", "")
	r.reserved.begin(other, other.Status)
	for range int(limit / delay) {
		require.Equal(t, delay, r.reconcile())
		r.now = r.now.Add(delay)
	}
	require.Zero(t, r.reconcile(), "after the limit")
	require.Len(t, r.directories(), 2)
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
			set := placedSet("x", "a", "n")
			if test.urgent {
				set = placedSet("x", "a", "n", "n")
			}
			r := newNodes(t, withNewDirectory(), set)
			if test.phase != "" {
				require.NoError(t, r.caches.volumes.GetIndexer().Add(&corev1.PersistentVolume{
					ObjectMeta: metav1.ObjectMeta{Name: "a-0"},
					Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "x", Name: "a-0"}},
					Status:     corev1.PersistentVolumeStatus{Phase: test.phase},
				}))
			}
			r.act.creating.begin()
			if test.ended {
				r.act.creating.end()
			}
			begin := r.now
			for delay := r.reconcile(); delay != 0; delay = r.reconcile() {
				r.now = r.now.Add(delay)
				require.Less(t, r.now.Sub(begin), time.Minute)
			}
			require.Equal(t, test.want, r.now.Sub(begin))
			require.False(t, r.directories()[0].Create)
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
