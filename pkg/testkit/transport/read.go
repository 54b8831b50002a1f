package transport

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PauseWatches holds all watch events back until ResumeWatches, so that caches do not change. Other reads are not
// affected.
func (t *Transport) PauseWatches() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.resumed:
		t.resumed = make(chan struct{})
	default:
	}
}

// ResumeWatches ends PauseWatches and ServeStale. Caches receive all pending events in order.
func (t *Transport) ResumeWatches() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past = ""
	select {
	case <-t.resumed:
	default:
		close(t.resumed)
	}
}

// DelayWatches delays all watch events by d.
func (t *Transport) DelayWatches(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lag = d
}

// ServeStale makes caches that start before ResumeWatches list the state at a past resource version, and pauses their
// watches. An API server whose own cache lags behind does the same. It affects only lists with resourceVersion=0, which
// accept stale data.
func (t *Transport) ServeStale(resourceVersion string) {
	t.PauseWatches()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past = resourceVersion
}

// DropEvents drops all watch events until ForceRelist.
func (t *Transport) DropEvents() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropping = true
}

// ForceRelist ends DropEvents. Watches with dropped events end with "410 Gone", as if the history of the server were
// too short. The client then lists again and sees the current state, but not the changes in between.
func (t *Transport) ForceRelist() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropping = false
	for s := range t.streams {
		s.expire()
	}
}

func (r roundTripper) read(req *http.Request) (*http.Response, error) {
	query := req.URL.Query()
	watch := query.Get("watch") == "true" || query.Get("watch") == "1"
	initial := watch && query.Get("sendInitialEvents") == "true"
	r.t.mu.Lock()
	past := r.t.past
	r.t.mu.Unlock()
	if past != "" && initial {
		// The API server cannot stream a past state. After an error clients list instead.
		return reject(req)
	}
	switch {
	case watch:
		req = req.Clone(req.Context())
		req.Header.Set("Accept", acceptJSON(req.Header.Get("Accept")))
	case past != "" && query.Get("resourceVersion") == "0" && isList(req.URL):
		query.Set("resourceVersion", past)
		query.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchExact))
		req = req.Clone(req.Context())
		req.URL.RawQuery = query.Encode()
	}
	resp, err := r.next.RoundTrip(req)
	if err == nil && watch && resp.StatusCode == http.StatusOK {
		resp.Body = r.t.newStream(resp.Body, initial)
	}
	return resp, err
}

func isList(u *url.URL) bool {
	w, ok := parsePath(u.Path)
	return ok && w.Name == ""
}

func reject(req *http.Request) (*http.Response, error) {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Reason: metav1.StatusReasonBadRequest, Code: http.StatusBadRequest,
		Message: "a past state cannot be streamed",
	})
	return &http.Response{
		Status: "400 Bad Request", StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"application/json"},
		}, Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}, err
}
