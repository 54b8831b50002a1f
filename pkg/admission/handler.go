package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/sync/semaphore"
)

// Defaults of Options.
const (
	// DefaultMaxBodyBytes is more than a review of the largest object in etcd, with its old version.
	DefaultMaxBodyBytes = 4 << 20
	// DefaultDeadline is less than the default timeout of the API server, which is 10 s.
	DefaultDeadline = 8 * time.Second
	// DefaultMaxConcurrent is less than the requests of one client that the API server handles at the same time.
	DefaultMaxConcurrent = 128
)

// ErrDeadlineExceeded is passed to Fallback if the review did not return in time.
var ErrDeadlineExceeded = errors.New("the review exceeded its deadline")

// ErrNotStarted is passed to Fallback if the review could not start in time, because Options.MaxConcurrent others ran.
var ErrNotStarted = errors.New("the review did not start before its deadline: too many other reviews are running")

// Options configure a handler. Review and Fallback are required.
type Options struct {
	Review Review
	// Immediate returns the response to a request that needs no I/O, or false. Such a request does not wait for others,
	// however many reviews are running; optional.
	Immediate func(Request) (Response, bool)
	// MaxConcurrent is the number of reviews that run at the same time; the default is DefaultMaxConcurrent. Further ones
	// wait in the order of their arrival. A waiting review costs a few KiB, a running one its requests to other servers.
	MaxConcurrent int
	// Fallback returns the response if Review panicked, did not return in time (ErrDeadlineExceeded) or could not start
	// in time (ErrNotStarted).
	Fallback func(Request, error) Response
	// MaxBodyBytes limits the size of a request; the default is DefaultMaxBodyBytes.
	MaxBodyBytes int64
	// Deadline limits the time until the response; the default is DefaultDeadline. The timeout that the API server
	// sends, reduced by a tenth for the response, applies if it is shorter.
	Deadline time.Duration
	// Log receives invalid requests; optional.
	Log *slog.Logger
	// OnReject is called with the HTTP status of each invalid request; optional.
	OnReject func(status int)
}

// Handler returns an HTTP handler of AdmissionReviews. It responds to invalid requests with an HTTP error, so that the
// API server applies its failurePolicy.
func Handler(o Options) http.Handler {
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	if o.Immediate == nil {
		o.Immediate = func(Request) (Response, bool) { return Response{}, false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnReject == nil {
		o.OnReject = func(int) {}
	}
	return &handler{Options: o, slots: semaphore.NewWeighted(int64(o.MaxConcurrent))}
}

type handler struct {
	Options
	// slots are those of the running reviews. They are given in the order of the requests for them.
	slots *semaphore.Weighted
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := h.serve(w, r)
	if err == nil {
		return
	}
	h.OnReject(status)
	h.Log.Warn("rejected an invalid admission review", "status", status, "error", err, "from", r.RemoteAddr)
	http.Error(w, err.Error(), status)
}

// serve writes the response, or returns an HTTP status and an error.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) (status int, err error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, fmt.Errorf("method %s is not POST", r.Method)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, fmt.Errorf(
			"content type %.64q is not application/json",
			r.Header.Get("Content-Type"),
		)
	}
	start := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.MaxBodyBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body exceeds %d bytes", h.MaxBodyBytes)
	}
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("read the body: %w", err)
	}
	apiVersion, request, err := decode(body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	response, err := encode(apiVersion, request.UID, h.review(r.Context(), request, start.Add(h.deadline(r))))
	if err != nil {
		return http.StatusInternalServerError, err
	}
	w.Header().Set("Content-Type", "application/json")
	// The error is ignored: the client has closed the connection.
	_, _ = w.Write(response)
	return 0, nil
}

// deadline returns the time until the response must be written.
func (h *handler) deadline(r *http.Request) time.Duration {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout <= 0 {
		return h.Deadline
	}
	return min(h.Deadline, timeout-timeout/10)
}

// review returns a response by the deadline even if Review ignores its context.
func (h *handler) review(ctx context.Context, request Request, deadline time.Time) Response {
	if response, ok := h.immediate(request); ok {
		return response
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// A waiting review has no goroutine of its own yet.
	if h.slots.Acquire(ctx, 1) != nil {
		return h.Fallback(request, ErrNotStarted)
	}
	responses := make(chan Response, 1)
	go func() {
		defer h.slots.Release(1)
		defer func() {
			if reason := recover(); reason != nil {
				responses <- h.panicked(request, reason)
			}
		}()
		responses <- h.Review(ctx, request)
	}()
	select {
	case response := <-responses:
		return response
	case <-ctx.Done():
		return h.Fallback(request, ErrDeadlineExceeded)
	}
}

// immediate returns the response to a request that does not have to wait.
func (h *handler) immediate(request Request) (response Response, ok bool) {
	defer func() {
		if reason := recover(); reason != nil {
			response, ok = h.panicked(request, reason), true
		}
	}()
	return h.Immediate(request)
}

func (h *handler) panicked(request Request, reason any) Response {
	h.Log.Error("the review panicked", "reason", reason, "namespace", request.Namespace, "name", request.Name,
		"stack", string(debug.Stack()))
	return h.Fallback(request, fmt.Errorf("the review panicked: %v", reason))
}
