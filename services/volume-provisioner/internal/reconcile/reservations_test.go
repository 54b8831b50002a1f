package reconcile

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
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
