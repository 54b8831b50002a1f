package reconcile

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
)

// storeAt is the store of a cache that has observed a version.
type storeAt struct {
	cache.Store
	version string
}

func (s storeAt) LastStoreSyncResourceVersion() string { return s.version }

func versions(sets []*storagev1alpha1.KafkaLocalVolumeSet) map[string]string {
	found := map[string]string{}
	for _, set := range sets {
		found[set.Name] = set.ResourceVersion
	}
	return found
}

func TestReservationsSeePlacementsThatAreBeingWritten(t *testing.T) {
	t.Parallel()
	first, second := placedSet("x", "a", ""), placedSet("x", "b", "")
	c := cachesOf(t, first, second)
	r := &reservations{started: true, sets: recent[*storagev1alpha1.KafkaLocalVolumeSet]{}}
	now := time.Unix(1, 0)
	placed := placedSet("x", "a", "n")
	placed.Status.Volumes[0].Bytes = 1
	r.begin(first, placed.Status)
	s := r.observe(c, controller.Key{Namespace: "x", Name: "b"}, now)
	require.Equal(t, observed.Reserved{{Node: "n", Path: "/mnt/data"}: 1}, s.Reserved)
	require.Equal(t, placed.Status, s.Others[0].Status, "the indexes do not know the placement")
	require.Empty(t, first.Status.Volumes[0].Node, "the cached set is not modified")
	// The write failed. It may have been stored.
	r.end(controller.Key{Namespace: "x", Name: "a"}, nil, errors.New("timeout"), now)
	require.False(t, r.started, "the next reservation reads all sets")
	require.Empty(t, r.observe(c, controller.Key{Namespace: "x", Name: "b"}, now).Reserved)
	r.begin(first, placed.Status)
	written := placedSet("x", "a", "n")
	written.ResourceVersion = "7"
	r.end(controller.Key{Namespace: "x", Name: "a"}, written, nil, now)
	require.Empty(t, r.writing)
	require.Equal(t, map[string]string{"a": "7"}, versions(r.sets.merge(nil, storeAt{version: "6"})))
}

func TestReservationsKeepTheNewestVersion(t *testing.T) {
	t.Parallel()
	version := func(v string) *storagev1alpha1.KafkaLocalVolumeSet {
		return &storagev1alpha1.KafkaLocalVolumeSet{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: v}}
	}
	r := recent[*storagev1alpha1.KafkaLocalVolumeSet]{}
	for _, v := range []string{"9", "12", "10"} {
		r.add(version(v))
	}
	require.Equal(t, map[string]string{"a": "12"}, versions(r.merge(nil, storeAt{version: "8"})))
}

func TestReservationsSeeWhatTheCacheHasNotObservedYet(t *testing.T) {
	t.Parallel()
	set := func(name, version string) *storagev1alpha1.KafkaLocalVolumeSet {
		return &storagev1alpha1.KafkaLocalVolumeSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, ResourceVersion: version},
		}
	}
	cached := []*storagev1alpha1.KafkaLocalVolumeSet{set("a", "10"), set("b", "11")}
	r := recent[*storagev1alpha1.KafkaLocalVolumeSet]{}
	r.add(set("b", "21"))
	r.add(set("c", "22"))
	require.Equal(t, map[string]string{"a": "10", "b": "21", "c": "22"}, versions(r.merge(cached, storeAt{version: "20"})))
	// The cache has observed the write to b. It has not observed c.
	cached[1] = set("b", "21")
	require.Equal(t, map[string]string{"a": "10", "b": "21", "c": "22"}, versions(r.merge(cached, storeAt{version: "21"})))
	require.Len(t, r, 1)
	// c was deleted after it was written.
	require.Equal(t, map[string]string{"a": "10", "b": "21"}, versions(r.merge(cached, storeAt{version: "23"})))
	require.Empty(t, r)
}
