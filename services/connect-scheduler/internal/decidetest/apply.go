package decidetest

import (
	"encoding/json"
	"sync"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

var typeConverter = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(scheme.Scheme)
})

// put sets an object to what server-side apply makes of each of wanted, if connect-scheduler is its only manager. A fake
// clientset would do the same for any number of managers, but in several times the CPU time of the decisions.
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
