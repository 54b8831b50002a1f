package apply

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
)

// ComparisonCache caches which objects match their desired state. A field-by-field comparison costs many times more
// than the lookup that the same comparison was made before, or that the object is the result of an apply. A nil
// ComparisonCache caches nothing.
type ComparisonCache struct {
	manager string
	equal   *lru.Cache
}

// NewComparisonCache returns a cache for the objects of a field manager. It holds at most size objects and evicts the
// least recently used.
func NewComparisonCache(manager string, size int) *ComparisonCache {
	return &ComparisonCache{manager, lru.New(size)}
}

// Applied records that object is the answer of the API server to an apply of want. It needs no comparison with want:
// another apply would change nothing, even if the API server or a webhook has set a field to another value.
func (c *ComparisonCache) Applied(object metav1.Object, want any) {
	if c == nil {
		return
	}
	if sum, err := c.hash(object, want); err == nil {
		c.equal.Add(object.GetUID(), sum)
	}
}

// UpToDate returns the result of compare, which reports whether live matches want. It does not call compare if an
// earlier call with the same live and want returned true, or if live is the result of an apply of want.
func (c *ComparisonCache) UpToDate(live metav1.Object, want any, compare func() (bool, error)) (bool, error) {
	if c == nil {
		return compare()
	}
	sum, err := c.hash(live, want)
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

// managedFields returns the managed fields of the manager without those of the status, whose times change with each
// write of the status. A cache may have removed those of other managers. If another manager takes a field over, the
// fields of this one change too.
func (c *ComparisonCache) managedFields(live metav1.Object) []metav1.ManagedFieldsEntry {
	var own []metav1.ManagedFieldsEntry
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == c.manager && entry.Subresource != "status" {
			own = append(own, entry)
		}
	}
	return own
}

// hash returns one sum of the observed and the desired object. If the object has a generation, the generation stands
// for the spec, because the resource version of such an object also changes with its status.
func (c *ComparisonCache) hash(live metav1.Object, want any) ([sha256.Size]byte, error) {
	observed := struct {
		Version, Labels, Annotations, Owners, Managers any
	}{live.GetResourceVersion(), nil, nil, nil, nil}
	if live.GetGeneration() != 0 {
		observed.Version, observed.Labels = live.GetGeneration(), live.GetLabels()
		observed.Annotations = live.GetAnnotations()
		observed.Owners, observed.Managers = live.GetOwnerReferences(), c.managedFields(live)
	}
	data, err := json.Marshal([]any{observed, want})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encode %s and its desired state: %w", live.GetName(), err)
	}
	return sha256.Sum256(data), nil
}
