package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/webhook"
)

func TestReadsWhatIsToBeEvicted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request admission.Request
		want    decide.Request
	}{
		"V1Beta1": {admission.Request{Object: []byte(`{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"a","namespace":"n"}}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a"}},
		"CorrectUid": {admission.Request{Object: []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"n"},"deleteOptions":{"preconditions":{"uid":"u"}}}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a", UID: "u"}},
		"WithoutNamespace: the request's counts": {admission.Request{Namespace: "r", Object: []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a"}}`)},
			decide.Request{Eviction: true, Namespace: "r", Name: "a"}},
		"NoNamespaceAnywhere": {admission.Request{Object: []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a"}}`)},
			decide.Request{Eviction: true, Name: "a"}},
		"DryRun: of the request": {admission.Request{DryRun: true, Object: []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"n"}}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a", DryRun: true}},
		"DryRun: of the Eviction, as kubectl sends it": {admission.Request{Object: []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"n"},"deleteOptions":{"dryRun":["All"]}}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a", DryRun: true}},
		"another version": {admission.Request{Object: []byte(`{"apiVersion":"policy/v2","kind":"Eviction","metadata":{"name":"a"}}`)}, decide.Request{}},
		"another kind":    {admission.Request{Object: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`)}, decide.Request{}},
		"garbage":         {admission.Request{Object: []byte("\x00")}, decide.Request{}},
		"nothing":         {admission.Request{}, decide.Request{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, webhook.Parse(test.request))
		})
	}
}

// FuzzRead never panics, and never makes an eviction of what is none.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a"},"deleteOptions":{"preconditions":{"uid":"u"},"dryRun":["All"]}}`), "n", "a")
	f.Add([]byte(`{"apiVersion":"policy/v1","kind":"Eviction","deleteOptions":null,"metadata":null}`), "", "")
	f.Fuzz(func(t *testing.T, object []byte, namespace, name string) {
		r := webhook.Parse(admission.Request{Object: object, Namespace: namespace, Name: name})
		if !r.Eviction && (r.Name != "" || r.Namespace != "" || r.UID != "") {
			t.Fatalf("no eviction, and yet %+v", r)
		}
		if r.Eviction && name != "" && r.Name == "" {
			t.Fatal("the request's name was lost")
		}
	})
}
