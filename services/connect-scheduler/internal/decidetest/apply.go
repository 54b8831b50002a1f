package decidetest

import (
	"encoding/json"
	"sync"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

var typeConverter = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(scheme.Scheme)
})

// comparisons caches the comparisons of all tests, which have many objects in common.
var comparisons = apply.NewComparisonCache(observed.Manager, 100_000)

// setVersion derives the UID and the resource version of an object from its content, so that equal objects share their
// comparisons, and an object that a test changes in place is compared again.
func setVersion(s *Env, object metav1.Object) {
	s.Helper()
	object.SetUID("")
	object.SetResourceVersion("")
	content, err := json.Marshal(object)
	require.NoError(s, err)
	version := contract.TaskConfigHash(content)
	object.SetUID(types.UID(version))
	object.SetResourceVersion(version)
}

// put sets an object to what server-side apply makes of each of wanted, if connect-scheduler is its only manager.
// A fake clientset would do the same for any number of managers, but in several times the CPU time of the decisions.
func put[C, T any, O interface {
	*T
	metav1.Object
}](s *Env, wanted []C, to *O) {
	s.Helper()
	for _, want := range wanted {
		encoded, err := json.Marshal(want)
		require.NoError(s, err)
		object, fields := O(new(T)), map[string]any{}
		require.NoError(s, json.Unmarshal(encoded, object))
		require.NoError(s, json.Unmarshal(encoded, &fields))
		typed, err := typeConverter().ObjectToTyped(&unstructured.Unstructured{Object: fields})
		require.NoError(s, err)
		owned, err := typed.ToFieldSet()
		require.NoError(s, err)
		raw, err := owned.ToJSON()
		require.NoError(s, err)
		entry := metav1.ManagedFieldsEntry{
			Manager: observed.Manager, Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1",
			FieldsV1: &metav1.FieldsV1{},
		}
		require.NoError(s, entry.FieldsV1.UnmarshalJSON(raw))
		object.SetManagedFields([]metav1.ManagedFieldsEntry{entry})
		*to = object
	}
}
