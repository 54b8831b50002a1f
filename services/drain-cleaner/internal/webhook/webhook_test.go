package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/webhook"
)

// Some names start with the name of the corresponding test case of Strimzi's Drain Cleaner.
func TestParsesReviews(t *testing.T) {
	t.Parallel()
	const metadata = `"metadata":{"name":"a","namespace":"n"}`
	v1 := func(more string) []byte { return []byte(`{"apiVersion":"policy/v1","kind":"Eviction",` + more + `}`) }
	for name, test := range map[string]struct {
		request admission.Request
		want    decide.Request
	}{
		"V1Beta1": {
			admission.Request{Object: []byte(`{"apiVersion":"policy/v1beta1","kind":"Eviction",` + metadata + `}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a"},
		},
		"CorrectUid": {
			admission.Request{Object: v1(metadata + `,"deleteOptions":{"preconditions":{"uid":"u"}}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a", UID: "u"},
		},
		"WithoutNamespace: the namespace of the request applies": {
			admission.Request{Namespace: "r", Object: v1(`"metadata":{"name":"a"}`)},
			decide.Request{Eviction: true, Namespace: "r", Name: "a"},
		},
		"NoNamespaceAnywhere": {
			admission.Request{Object: v1(`"metadata":{"name":"a"}`)}, decide.Request{Eviction: true, Name: "a"},
		},
		"DryRun: of the request": {
			admission.Request{DryRun: true, Object: v1(metadata)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a", DryRun: true},
		},
		"DryRun: of the Eviction, as kubectl sends it": {
			admission.Request{Object: v1(metadata + `,"deleteOptions":{"dryRun":["All"]}`)},
			decide.Request{Eviction: true, Namespace: "n", Name: "a", DryRun: true},
		},
		"an unknown version": {
			admission.Request{Object: []byte(`{"apiVersion":"policy/v2","kind":"Eviction",` + metadata + `}`)},
			decide.Request{},
		},
		"another kind": {
			admission.Request{Object: []byte(`{"apiVersion":"v1","kind":"Pod",` + metadata + `}`)}, decide.Request{},
		},
		"invalid JSON": {admission.Request{Object: []byte("\x00")}, decide.Request{}},
		"no object":    {admission.Request{}, decide.Request{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, webhook.Parse(test.request))
		})
	}
}

// FuzzParse checks that Parse does not panic and takes only Evictions for evictions.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a"},`+
		`"deleteOptions":{"preconditions":{"uid":"u"},"dryRun":["All"]}}`), "n", "a")
	f.Add([]byte(`{"apiVersion":"policy/v1","kind":"Eviction","deleteOptions":null,"metadata":null}`), "", "")
	f.Fuzz(func(t *testing.T, object []byte, namespace, name string) {
		r := webhook.Parse(admission.Request{Object: object, Namespace: namespace, Name: name})
		if !r.Eviction && (r.Name != "" || r.Namespace != "" || r.UID != "") {
			t.Fatalf("not an Eviction, but %+v", r)
		}
		if r.Eviction && name != "" && r.Name == "" {
			t.Fatal("the name of the request is lost")
		}
	})
}
