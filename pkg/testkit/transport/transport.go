// Package transport sees and disturbs what a client and the API server say to each other, without the client's knowledge.
//
// [Wrap] takes a rest.Config and returns one to give to a controller, and the [Transport] beneath it, which counts writes, and can
// kill the controller at a write, lose a reply, hold back or lose watch events, and serve caches from the past.
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

// ErrKilled is the error of every request after the client was killed.
var ErrKilled = errors.New("the client was killed")

// ErrLost is the error of a request whose reply was lost: it was carried out.
var ErrReplyLost = errors.New("the reply was lost")

// Fate is what becomes of a write's reply.
type ReplyAction int

const (
	// Deliver it: all is well.
	DeliverReply ReplyAction = iota
	// Lose it: the client sees an error, and lives on.
	DropReply
	// Kill the client before the reply reaches it: no request of it gets through from now on.
	KillClient
)

// Option changes what a Transport does.
type Option func(*Transport)

// Ignoring leaves writes of these resources ("leases", "events") out: they are neither counted nor disturbed.
func IgnoreResources(resources ...string) Option {
	return func(t *Transport) { t.ignored = append(t.ignored, resources...) }
}

// Before is called with the number that a write will have, before it is sent. One that fails leaves its number to the next.
func BeforeWrite(hook func(n int)) Option { return func(t *Transport) { t.before = hook } }

// After is called when the API server has carried out a write, and decides on the reply.
func AfterWrite(hook func(Write) ReplyAction) Option { return func(t *Transport) { t.after = hook } }

// Transport is safe for concurrent use.
type Transport struct {
	ignored []string
	before  func(int)
	after   func(Write) ReplyAction
	// writing lets hooks see one write at a time: nothing else is under way when a client is killed.
	writing sync.Mutex

	mu      sync.Mutex
	killed  bool
	writes  []Write
	last    time.Time
	thawed  chan struct{}
	lag     time.Duration
	past    string
	losing  bool
	streams map[*stream]struct{}
}

// Wrap returns a copy of the configuration whose requests go through the Transport.
func Wrap(config *rest.Config, options ...Option) (*rest.Config, *Transport) {
	t := &Transport{thawed: make(chan struct{}), streams: map[*stream]struct{}{}}
	close(t.thawed)
	for _, option := range options {
		option(t)
	}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return roundTripper{t, next} })
	return config, t
}

// Writes are those carried out so far.
func (t *Transport) Writes() []Write {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.writes)
}

// Count is how many writes were carried out for which the predicate holds; nil counts all.
func (t *Transport) Count(of func(Write) bool) int {
	n := 0
	for _, w := range t.Writes() {
		if of == nil || of(w) {
			n++
		}
	}
	return n
}

// LastWrite is when the last write was carried out, zero if there was none.
func (t *Transport) LastWrite() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Kill lets no request through from now on, as if the client's process had died.
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

func discard(resp *http.Response, instead error) error {
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return instead
}

// acceptJSON leaves other media types out of a watch's Accept header, so that its events can be told apart: clients
// decode by what the answer says it is.
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
