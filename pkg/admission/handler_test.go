package admission_test

import (
	"context"
	"encoding/json"
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

const good = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","kind":{"group":"policy","version":"v1","kind":"Eviction"},
"resource":{"version":"v1","resource":"pods"},"subResource":"eviction","name":"a","namespace":"n","operation":"CREATE","dryRun":true,"object":{"any":["thing"]}}}`

func denyAll(_ context.Context, r admission.Request) admission.Response {
	return admission.Response{Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: "not " + r.Name}
}

func fallback(_ admission.Request, err error) admission.Response {
	return admission.Response{Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: err.Error()}
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

func answer(t *testing.T, w *httptest.ResponseRecorder) admissionv1.AdmissionReview {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &review))
	return review
}

func TestRefusesWhatIsNoReview(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
		says   string
	}{
		"an empty body":           {body: "", status: 400, says: "no AdmissionReview"},
		"garbage":                 {body: "\x00\xff{", status: 400, says: "no AdmissionReview"},
		"a torn body":             {body: good[:40], status: 400, says: "no AdmissionReview"},
		"a list":                  {body: "[]", status: 400, says: "no AdmissionReview"},
		"another kind":            {body: `{"kind":"Pod","apiVersion":"v1"}`, status: 400, says: `kind is "Pod"`},
		"another version":         {body: strings.Replace(good, "k8s.io/v1", "k8s.io/v2", 1), status: 400, says: "may be admission.k8s.io/v1 or v1beta1"},
		"no request":              {body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, status: 400, says: "request is missing"},
		"no uid":                  {body: strings.Replace(good, `"uid":"u",`, "", 1), status: 400, says: "request.uid is missing"},
		"a body that is too long": {body: strings.Replace(good, "thing", strings.Repeat("x", 3000), 1), status: 413, says: "larger than 2048 bytes"},
		"no content type":         {body: good, change: func(r *http.Request) { r.Header.Del("Content-Type") }, status: 415, says: "not application/json"},
		"another content type":    {body: good, change: func(r *http.Request) { r.Header.Set("Content-Type", "application/yaml") }, status: 415, says: "not application/json"},
		"another method":          {body: good, change: func(r *http.Request) { r.Method = http.MethodGet }, status: 405, says: "not POST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := 0
			h := admission.Handler(admission.Options{Review: denyAll, Fallback: fallback, MaxBodyBytes: 2048, OnReject: func(s int) { refused = s }})
			change := test.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := post(t, h, "", test.body, change)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.status, refused)
			assert.Contains(t, w.Body.String(), test.says)
		})
	}
}

func TestAnswersInTheVersionThatWasAsked(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"admission.k8s.io/v1", "admission.k8s.io/v1beta1"} {
		var seen admission.Request
		h := admission.Handler(admission.Options{Fallback: fallback, Review: func(ctx context.Context, r admission.Request) admission.Response {
			seen = r
			return denyAll(ctx, r)
		}})
		review := answer(t, post(t, h, "", strings.Replace(good, "admission.k8s.io/v1", version, 1), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
		}))
		assert.Equal(t, version, review.APIVersion)
		assert.Equal(t, "AdmissionReview", review.Kind)
		assert.Equal(t, "u", string(review.Response.UID))
		assert.False(t, review.Response.Allowed)
		assert.Equal(t, &metav1.Status{Status: "Failure", Code: 429, Reason: "TooManyRequests", Message: "not a"}, review.Response.Result)
		assert.Nil(t, review.Response.Result.Details, "retryAfterSeconds would make clients silent")
		assert.Equal(t, "n", seen.Namespace)
		assert.Equal(t, "eviction", seen.SubResource)
		assert.True(t, seen.DryRun)
		assert.JSONEq(t, `{"any":["thing"]}`, string(seen.Object))
	}
}

func TestAnswersInTimeWhateverTheReviewDoes(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	defer close(stuck)
	h := admission.Handler(admission.Options{Fallback: fallback, Review: func(context.Context, admission.Request) admission.Response {
		<-stuck
		return admission.Response{Allowed: true}
	}})
	began := time.Now()
	review := answer(t, post(t, h, "?timeout=50ms", good))
	assert.Less(t, time.Since(began), 5*time.Second)
	assert.False(t, review.Response.Allowed)
	assert.Contains(t, review.Response.Result.Message, admission.ErrDeadlineExceeded.Error())
}

func TestAnswersWhenTheReviewPanics(t *testing.T) {
	t.Parallel()
	h := admission.Handler(admission.Options{Fallback: fallback, Review: func(context.Context, admission.Request) admission.Response { panic("no") }})
	review := answer(t, post(t, h, "", good))
	assert.False(t, review.Response.Allowed)
	assert.Contains(t, review.Response.Result.Message, "panicked: no")
}

// FuzzHandler never panics, and answers 200 only with a well-formed answer that repeats the uid.
func FuzzHandler(f *testing.F) {
	for _, body := range []string{good, good[:60], "", "[]", "{}", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"x","dryRun":null,"object":null}}`,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"` + strings.Repeat("u", 500) + `","object":"{"}}`} {
		f.Add([]byte(body), "application/json")
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		h := admission.Handler(admission.Options{Fallback: fallback, MaxBodyBytes: 1024, Review: denyAll})
		w := post(t, h, "", string(body), func(r *http.Request) { r.Header.Set("Content-Type", kind) })
		if w.Code != http.StatusOK {
			return
		}
		review := answer(t, w)
		require.NotNil(t, review.Response)
		require.NotEmpty(t, review.Response.UID)
		require.False(t, review.Response.Allowed)
		require.Len(t, body, min(len(body), 1024))
	})
}
