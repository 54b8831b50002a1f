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

// Freeze holds back all watch events, so that caches stay as they are, until Thaw. Reads of the API server itself are not held back.
func (t *Transport) PauseWatches() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.thawed:
		t.thawed = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze and Rewind: caches see, in order, what happened in the meantime.
func (t *Transport) ResumeWatches() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past = ""
	select {
	case <-t.thawed:
	default:
		close(t.thawed)
	}
}

// Lag delays all watch events by d from now on.
func (t *Transport) DelayWatches(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lag = d
}

// Rewind makes caches that start before Thaw see the world as it was at a resource version, and freezes them there: what an
// API server does whose own cache has fallen behind. Only reads that accept such answers get them, that is, those that say
// resourceVersion=0; those that insist on the present get it, as from a real server.
func (t *Transport) ServeStale(resourceVersion string) {
	t.PauseWatches()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past = resourceVersion
}

// LoseEvents drops all watch events from now on, until Relist.
func (t *Transport) DropEvents() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.losing = true
}

// Relist ends LoseEvents. Watches that lost events end with "410 Gone", as when the server's history is too short: the client
// lists anew, and sees how things are, but not what happened in between.
func (t *Transport) ForceRelist() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.losing = false
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
		// A stream of the past is not to be had. Told so, clients list instead.
		return refuse(req)
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
		resp.Body = r.t.disturb(resp.Body, initial)
	}
	return resp, err
}

func isList(u *url.URL) bool {
	w, ok := parsePath(u.Path)
	return ok && w.Name == ""
}

func refuse(req *http.Request) (*http.Response, error) {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Reason: metav1.StatusReasonBadRequest, Code: http.StatusBadRequest,
		Message: "the past cannot be streamed",
	})
	return &http.Response{
		Status: "400 Bad Request", StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}, err
}
