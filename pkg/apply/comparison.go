package apply

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
)

// Memory remembers which objects were found up to date with what was wanted of them. To compare an object field by field costs
// many times what it takes to see that the same comparison was made before. A nil Memory remembers nothing.
type ComparisonCache struct{ agreed *lru.Cache }

// NewMemory makes a Memory that remembers as many objects as objects says, and forgets first those not asked for the longest.
func NewComparisonCache(objects int) *ComparisonCache { return &ComparisonCache{lru.New(objects)} }

// UpToDate answers for compare, which tells whether live is as wanted, and calls it unless both are what they were when it last
// said so.
func (m *ComparisonCache) UpToDate(live metav1.Object, want any, compare func() (bool, error)) (bool, error) {
	if m == nil {
		return compare()
	}
	pair, err := identify(live, want)
	if err != nil {
		return false, err
	}
	if last, known := m.agreed.Get(live.GetUID()); known && last == pair {
		return true, nil
	}
	upToDate, err := compare()
	if upToDate && err == nil {
		m.agreed.Add(live.GetUID(), pair)
	}
	return upToDate, err
}

// identify makes one sum of what an object is and what it should be. The generation stands for the spec where there is one, since
// the resource version of such an object changes with its status too.
func identify(live metav1.Object, want any) ([sha256.Size]byte, error) {
	is := struct {
		Version, Labels, Annotations, Owners, Managers any
	}{live.GetResourceVersion(), nil, nil, nil, nil}
	if live.GetGeneration() != 0 {
		is.Version, is.Labels, is.Annotations = live.GetGeneration(), live.GetLabels(), live.GetAnnotations()
		is.Owners, is.Managers = live.GetOwnerReferences(), live.GetManagedFields()
	}
	data, err := json.Marshal([]any{is, want})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encode %s and what is wanted of it: %w", live.GetName(), err)
	}
	return sha256.Sum256(data), nil
}
