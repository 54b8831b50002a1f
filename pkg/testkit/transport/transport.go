// Package transport observes and perturbs the requests of a client, without changes to the client.
//
// [Wrap] returns a copy of a rest.Config and its [Transport]. The Transport records writes. It can kill the client at a
// write, drop a reply, delay, pause or drop watch events, and serve stale data to caches.
package transport

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// ErrKilled is the error of each request after the client was killed.
var ErrKilled = errors.New("the client was killed")

// ErrReplyLost is the error of a completed request whose reply was dropped.
var ErrReplyLost = errors.New("the reply was dropped")

// ReplyAction determines what happens to the reply to a write.
type ReplyAction int

const (
	// DeliverReply delivers the reply.
	DeliverReply ReplyAction = iota
	// DropReply drops the reply. The client receives an error and continues.
	DropReply
	// KillClient drops the reply and all further requests.
	KillClient
)

// Option configures a Transport.
type Option func(*Transport)

// IgnoreResources excludes writes of resources such as "leases" and "events". They are neither recorded nor passed to
// hooks.
func IgnoreResources(resources ...string) Option {
	return func(t *Transport) { t.ignored = append(t.ignored, resources...) }
}

// BeforeWrite sets a hook that is called before each write with its number. A write after a failed one has the same
// number.
func BeforeWrite(hook func(n int)) Option { return func(t *Transport) { t.before = hook } }

// AfterWrite sets a hook that is called when the API server has completed a write. It decides what happens to the
// reply.
func AfterWrite(hook func(Write) ReplyAction) Option { return func(t *Transport) { t.after = hook } }

// Transport is safe for concurrent use.
type Transport struct {
	ignored []string
	before  func(int)
	after   func(Write) ReplyAction
	// writing serializes writes with hooks, so that no other write is in flight when a client is killed.
	writing sync.Mutex

	mu       sync.Mutex
	killed   bool
	writes   []Write
	last     time.Time
	resumed  chan struct{}
	lag      time.Duration
	past     string
	dropping bool
	streams  map[*stream]struct{}
}

// Wrap returns a copy of config whose requests pass through the returned Transport.
func Wrap(config *rest.Config, options ...Option) (*rest.Config, *Transport) {
	t := &Transport{resumed: make(chan struct{}), streams: map[*stream]struct{}{}}
	close(t.resumed)
	for _, option := range options {
		option(t)
	}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return roundTripper{t, next} })
	return config, t
}

// Writes returns the completed writes.
func (t *Transport) Writes() []Write {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.writes)
}

// Count returns the number of completed writes that match; nil matches all.
func (t *Transport) Count(match func(Write) bool) int {
	n := 0
	for _, w := range t.Writes() {
		if match == nil || match(w) {
			n++
		}
	}
	return n
}

// LastWrite returns the time of the last completed write, or the zero time.
func (t *Transport) LastWrite() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Kill drops all further requests, as if the process of the client had been killed.
func (t *Transport) Kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.killed = true
}

func (t *Transport) isKilled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.killed
}

type roundTripper struct {
	t    *Transport
	next http.RoundTripper
}

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.t.isKilled() {
		return nil, ErrKilled
	}
	if write, ok := parse(req); ok && !slices.Contains(r.t.ignored, write.Resource) {
		return r.write(req, write)
	}
	if req.Method == http.MethodGet {
		return r.read(req)
	}
	return r.next.RoundTrip(req)
}

func (r roundTripper) write(req *http.Request, write Write) (*http.Response, error) {
	t := r.t
	if t.before != nil || t.after != nil {
		t.writing.Lock()
		defer t.writing.Unlock()
		if t.isKilled() {
			return nil, ErrKilled
		}
		if t.before != nil {
			t.before(len(t.Writes()) + 1)
		}
	}
	resp, err := r.next.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 {
		return resp, err
	}
	t.mu.Lock()
	write.N, t.last = len(t.writes)+1, time.Now()
	t.writes = append(t.writes, write)
	t.mu.Unlock()
	if t.after == nil {
		return resp, nil
	}
	switch t.after(write) {
	case DropReply:
		return nil, discard(resp, ErrReplyLost)
	case KillClient:
		t.Kill()
		return nil, discard(resp, ErrKilled)
	}
	return resp, nil
}

func discard(resp *http.Response, err error) error {
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return err
}

// acceptJSON removes other media types from the Accept header of a watch, so that its events can be parsed. Clients
// decode by the Content-Type of the response.
func acceptJSON(accept string) string {
	var kept []string
	for _, media := range strings.Split(accept, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(media), ";")
		if name == "application/json" || params != "" {
			media = "application/json"
			if params != "" {
				media += ";" + params
			}
			if !slices.Contains(kept, media) {
				kept = append(kept, media)
			}
		}
	}
	if len(kept) == 0 {
		return "application/json"
	}
	return strings.Join(kept, ",")
}
