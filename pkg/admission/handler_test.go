package admission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/admission"
)

const validReview = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",
"kind":{"group":"policy","version":"v1","kind":"Eviction"},"resource":{"version":"v1","resource":"pods"},
"subResource":"eviction","name":"a","namespace":"n","operation":"CREATE","dryRun":true,"object":{"any":["thing"]}}}`

func denyAll(_ context.Context, r admission.Request) admission.Response {
	return admission.Response{
		Code:    http.StatusTooManyRequests,
		Reason:  metav1.StatusReasonTooManyRequests,
		Message: "not " + r.Name,
	}
}

func fallback(_ admission.Request, err error) admission.Response {
	return admission.Response{
		Code:    http.StatusTooManyRequests,
		Reason:  metav1.StatusReasonTooManyRequests,
		Message: err.Error(),
	}
}

func post(t *testing.T, h http.Handler, query, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/drainer"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func decode(t *testing.T, w *httptest.ResponseRecorder) admissionv1.AdmissionReview {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &review))
	return review
}

func TestInvalidRequestsAreRejected(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
		want   string
	}{
		"an empty body":    {body: "", status: 400, want: "not a valid AdmissionReview"},
		"garbage":          {body: "\x00\xff{", status: 400, want: "not a valid AdmissionReview"},
		"a truncated body": {body: validReview[:40], status: 400, want: "not a valid AdmissionReview"},
		"a list":           {body: "[]", status: 400, want: "not a valid AdmissionReview"},
		"another kind": {
			body: `{"kind":"Pod","apiVersion":"v1"}`, status: 400, want: `kind is "Pod"`,
		},
		"another version": {
			body: strings.Replace(validReview, "k8s.io/v1", "k8s.io/v2", 1), status: 400,
			want: "must be admission.k8s.io/v1 or admission.k8s.io/v1beta1",
		},
		"no request": {
			body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, status: 400,
			want: "request is missing",
		},
		"no uid": {
			body: strings.Replace(validReview, `"uid":"u",`, "", 1), status: 400, want: "request.uid is missing",
		},
		"a body that is too long": {
			body: strings.Replace(validReview, "thing", strings.Repeat("x", 3000), 1), status: 413,
			want: "exceeds 2048 bytes",
		},
		"no content type": {
			body: validReview, change: func(r *http.Request) { r.Header.Del("Content-Type") },
			status: 415, want: "not application/json",
		},
		"another content type": {
			body: validReview, change: func(r *http.Request) { r.Header.Set("Content-Type", "application/yaml") },
			status: 415, want: "not application/json",
		},
		"another method": {
			body: validReview, change: func(r *http.Request) { r.Method = http.MethodGet },
			status: 405, want: "not POST",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rejected := 0
			h := admission.Handler(
				admission.Options{
					Review:       denyAll,
					Fallback:     fallback,
					MaxBodyBytes: 2048,
					OnReject:     func(s int) { rejected = s },
				},
			)
			change := test.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := post(t, h, "", test.body, change)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.status, rejected)
			assert.Contains(t, w.Body.String(), test.want)
		})
	}
}

func TestResponseHasTheVersionOfTheRequest(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"admission.k8s.io/v1", "admission.k8s.io/v1beta1"} {
		var seen admission.Request
		h := admission.Handler(
			admission.Options{
				Fallback: fallback,
				Review: func(ctx context.Context, r admission.Request) admission.Response {
					seen = r
					return denyAll(ctx, r)
				},
			},
		)
		review := decode(
			t,
			post(t, h, "", strings.Replace(validReview, "admission.k8s.io/v1", version, 1), func(r *http.Request) {
				r.Header.Set("Content-Type", "application/json; charset=utf-8")
			}),
		)
		assert.Equal(t, version, review.APIVersion)
		assert.Equal(t, "AdmissionReview", review.Kind)
		assert.Equal(t, "u", string(review.Response.UID))
		assert.False(t, review.Response.Allowed)
		assert.Equal(
			t,
			&metav1.Status{Status: "Failure", Code: 429, Reason: "TooManyRequests", Message: "not a"},
			review.Response.Result,
		)
		assert.Nil(t, review.Response.Result.Details, "clients retry silently with retryAfterSeconds")
		assert.Equal(t, "n", seen.Namespace)
		assert.Equal(t, "eviction", seen.SubResource)
		assert.True(t, seen.DryRun)
		assert.JSONEq(t, `{"any":["thing"]}`, string(seen.Object))
	}
}

func TestFallbackRespondsAtTheDeadline(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	defer close(stuck)
	h := admission.Handler(
		admission.Options{Fallback: fallback, Review: func(context.Context, admission.Request) admission.Response {
			<-stuck
			return admission.Response{Allowed: true}
		}},
	)
	start := time.Now()
	review := decode(t, post(t, h, "?timeout=50ms", validReview))
	assert.Less(t, time.Since(start), 5*time.Second)
	assert.False(t, review.Response.Allowed)
	assert.Contains(t, review.Response.Result.Message, admission.ErrDeadlineExceeded.Error())
}

func TestFallbackRespondsAfterAPanic(t *testing.T) {
	t.Parallel()
	h := admission.Handler(
		admission.Options{
			Fallback: fallback,
			Review:   func(context.Context, admission.Request) admission.Response { panic("no") },
		},
	)
	review := decode(t, post(t, h, "", validReview))
	assert.False(t, review.Response.Allowed)
	assert.Contains(t, review.Response.Result.Message, "panicked: no")
}

// FuzzHandler checks that the handler never panics, and that a response with status 200 is valid and has the UID.
func FuzzHandler(f *testing.F) {
	review := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/%s",` +
		`"request":{"uid":"%s","dryRun":null,"object":%s}}`
	for _, body := range []string{
		validReview, validReview[:60], "", "[]", "{}",
		fmt.Sprintf(review, "v1beta1", "x", "null"), fmt.Sprintf(review, "v1", strings.Repeat("u", 500), `"{"`),
	} {
		f.Add([]byte(body), "application/json")
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		h := admission.Handler(admission.Options{Fallback: fallback, MaxBodyBytes: 1024, Review: denyAll})
		w := post(t, h, "", string(body), func(r *http.Request) { r.Header.Set("Content-Type", kind) })
		if w.Code != http.StatusOK {
			return
		}
		review := decode(t, w)
		require.NotNil(t, review.Response)
		require.NotEmpty(t, review.Response.UID)
		require.False(t, review.Response.Allowed)
		require.Len(t, body, min(len(body), 1024))
	})
}
