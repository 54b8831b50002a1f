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
)

// Defaults of Options.
const (
	// DefaultMaxBody is more than any object that the API server stores, with its old version beside it.
	DefaultMaxBodyBytes = 4 << 20
	// DefaultDeadline is less than the 10 s that the API server waits by default.
	DefaultDeadline = 8 * time.Second
)

// ErrLate is given to Fallback when the review did not end in time.
var ErrDeadlineExceeded = errors.New("the review took too long")

// Options of a handler; Review and Fallback are required.
type Options struct {
	Review Review
	// Fallback answers where Review does not: it ran late (ErrLate), or panicked.
	Fallback func(Request, error) Response
	// MaxBody is the largest body that is read, in bytes; DefaultMaxBody where 0.
	MaxBodyBytes int64
	// Deadline is the longest that an answer may take; DefaultDeadline where 0. The API server's own, which it sends along, less a
	// tenth for the way back, counts where it is shorter.
	Deadline time.Duration
	// Log gets what is refused; nothing where nil.
	Log *slog.Logger
	// Refused counts bodies that are no review, by HTTP status; optional.
	OnReject func(status int)
}

// Handler answers AdmissionReviews that are POSTed to it. What is no review gets an HTTP error, and so leaves the API server to its
// failurePolicy.
func Handler(o Options) http.Handler {
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnReject == nil {
		o.OnReject = func(int) {}
	}
	return handler{o}
}

type handler struct{ Options }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := h.serve(w, r)
	if err == nil {
		return
	}
	h.OnReject(status)
	h.Log.Warn("refused what is no admission review", "status", status, "error", err, "from", r.RemoteAddr)
	http.Error(w, err.Error(), status)
}

// serve writes the answer, or returns why there is none.
func (h handler) serve(w http.ResponseWriter, r *http.Request) (status int, err error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, fmt.Errorf("method %s is not POST", r.Method)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, fmt.Errorf("content type %.64q is not application/json", r.Header.Get("Content-Type"))
	}
	began := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.MaxBodyBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", h.MaxBodyBytes)
	}
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("read the body: %w", err)
	}
	apiVersion, request, err := decode(body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	answer, err := encode(apiVersion, request.UID, h.review(r.Context(), request, began.Add(h.deadline(r))))
	if err != nil {
		return http.StatusInternalServerError, err
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that is gone has no use for an error.
	_, _ = w.Write(answer)
	return 0, nil
}

// deadline is how long the answer may take.
func (h handler) deadline(r *http.Request) time.Duration {
	asked, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || asked <= 0 {
		return h.Deadline
	}
	return min(h.Deadline, asked-asked/10)
}

// review answers by the deadline even where Review does not heed it.
func (h handler) review(ctx context.Context, request Request, deadline time.Time) Response {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	answered := make(chan Response, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				h.Log.Error("the review panicked", "cause", cause, "namespace", request.Namespace, "name", request.Name, "stack", string(debug.Stack()))
				answered <- h.Fallback(request, fmt.Errorf("the review panicked: %v", cause))
			}
		}()
		answered <- h.Review(ctx, request)
	}()
	select {
	case response := <-answered:
		return response
	case <-ctx.Done():
		return h.Fallback(request, ErrDeadlineExceeded)
	}
}
