package apply

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
)

// ComparisonCache caches which objects matched their desired state. A field-by-field comparison costs many times more
// than the lookup that the same comparison was made before. A nil ComparisonCache caches nothing.
type ComparisonCache struct{ equal *lru.Cache }

// NewComparisonCache returns a cache of at most size objects. It evicts the least recently used.
func NewComparisonCache(size int) *ComparisonCache { return &ComparisonCache{lru.New(size)} }

// UpToDate returns the result of compare, which reports whether live matches want. It does not call compare if an
// earlier call with the same live and want returned true.
func (c *ComparisonCache) UpToDate(live metav1.Object, want any, compare func() (bool, error)) (bool, error) {
	if c == nil {
		return compare()
	}
	sum, err := hash(live, want)
	if err != nil {
		return false, err
	}
	if last, known := c.equal.Get(live.GetUID()); known && last == sum {
		return true, nil
	}
	upToDate, err := compare()
	if upToDate && err == nil {
		c.equal.Add(live.GetUID(), sum)
	}
	return upToDate, err
}

// managersOf returns the managed fields without those of the status, whose times change with each write of the status.
func managersOf(live metav1.Object) []metav1.ManagedFieldsEntry {
	var managers []metav1.ManagedFieldsEntry
	for _, entry := range live.GetManagedFields() {
		if entry.Subresource != "status" {
			managers = append(managers, entry)
		}
	}
	return managers
}

// hash returns one sum of the observed and the desired object. If the object has a generation, the generation stands
// for the spec, because the resource version of such an object also changes with its status.
func hash(live metav1.Object, want any) ([sha256.Size]byte, error) {
	observed := struct {
		Version, Labels, Annotations, Owners, Managers any
	}{live.GetResourceVersion(), nil, nil, nil, nil}
	if live.GetGeneration() != 0 {
		observed.Version, observed.Labels = live.GetGeneration(), live.GetLabels()
		observed.Annotations = live.GetAnnotations()
		observed.Owners, observed.Managers = live.GetOwnerReferences(), managersOf(live)
	}
	data, err := json.Marshal([]any{observed, want})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encode %s and its desired state: %w", live.GetName(), err)
	}
	return sha256.Sum256(data), nil
}
