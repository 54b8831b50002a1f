// Package webhook answers reviews of evictions: it reads the request, has it judged, and sees to what follows from the answer.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
)

// Path is where reviews are sent to, as with Strimzi's Drain Cleaner.
const Path = "/drainer"

// Judge answers whether a pod may be evicted.
type Evaluator interface {
	Evict(ctx context.Context, r decide.Request) evaluate.Verdict
}

// Notes writes on pods what was found.
type AnnotationQueue interface {
	Add(pod *decide.Pod, roll, record bool)
}

// Webhook reviews evictions; New makes it.
type Webhook struct {
	evaluator   Evaluator
	annotations AnnotationQueue
	events      events.EventRecorder
	metrics     *Metrics
	now         func() time.Time
	log         *slog.Logger
	told        told
}

// New makes a Webhook.
func New(e Evaluator, q AnnotationQueue, recorder events.EventRecorder, m *Metrics, now func() time.Time, log *slog.Logger) *Webhook {
	return &Webhook{evaluator: e, annotations: q, events: recorder, metrics: m, now: now, log: log, told: told{seen: map[telling]time.Time{}}}
}

// Review answers one request.
func (w *Webhook) Review(ctx context.Context, r admission.Request) admission.Response {
	began := w.now()
	request := Read(r)
	verdict := w.evaluator.Evict(ctx, request)
	if pod := verdict.State.Pod; pod != nil {
		w.annotations.Add(pod, verdict.Roll, verdict.Record)
		if !request.DryRun {
			w.tell(pod, verdict.Decision)
		}
	}
	w.metrics.reviewed(verdict.Decision, w.now().Sub(began))
	return respond(verdict.Decision)
}

// Fallback denies for now what could not be judged.
func (w *Webhook) Fallback(r admission.Request, err error) admission.Response {
	w.log.Error("the review was not judged", "namespace", r.Namespace, "name", r.Name, "error", err)
	d := decide.Decision{Reason: decide.LookupFailed, Message: err.Error()}
	w.metrics.reviewed(d, 0)
	return respond(d)
}

// respond denies with 429: kubectl drain then prints the message and tries again every five seconds. With 404 it takes the pod for
// gone and goes on to the next; with any other code it would give up at once.
func respond(d decide.Decision) admission.Response {
	message := d.Message
	if d.Policy != nil && d.Reason != decide.RollRequested || d.Reason == decide.LookupFailed {
		message = fmt.Sprintf("%s: %s", d.Reason, d.Message)
	}
	if d.Allow {
		return admission.Response{Allowed: true, Message: message}
	}
	if d.Gone {
		return admission.Response{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: message}
	}
	return admission.Response{Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: message}
}

// Read finds out what a review asks. The Eviction's own name and namespace come before those of the request.
func Read(r admission.Request) decide.Request {
	var e policyv1.Eviction
	if err := json.Unmarshal(r.Object, &e); err != nil || e.Kind != "Eviction" ||
		e.APIVersion != policyv1.SchemeGroupVersion.String() && e.APIVersion != policyv1beta1.SchemeGroupVersion.String() {
		return decide.Request{DryRun: r.DryRun}
	}
	request := decide.Request{Eviction: true, Namespace: e.Namespace, Name: e.Name, DryRun: r.DryRun}
	if request.Namespace == "" {
		request.Namespace = r.Namespace
	}
	if request.Name == "" {
		request.Name = r.Name
	}
	if o := e.DeleteOptions; o != nil {
		request.DryRun = request.DryRun || slices.Contains(o.DryRun, metav1.DryRunAll)
		if o.Preconditions != nil && o.Preconditions.UID != nil {
			request.UID = *o.Preconditions.UID
		}
	}
	return request
}

// quiet are findings that nobody has to be told.
var quiet = map[decide.Reason]bool{
	decide.NotProtected: true, decide.UIDDiffers: true, decide.PodTerminating: true, decide.PodFinished: true, decide.PodPending: true,
}

// tell records an event about the pod, once for each finding.
func (w *Webhook) tell(pod *decide.Pod, d decide.Decision) {
	if quiet[d.Reason] || !w.told.first(telling{pod.UID, d.Reason, d.Overdue}, w.now()) {
		return
	}
	about := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	happened := event.Normal(string(d.Reason), "DenyEviction", d.Message)
	switch {
	case d.Overdue || d.Final || d.Reason == decide.OperatorDown:
		happened = event.Warning(string(d.Reason), "DenyEviction", d.Message)
	case d.Allow:
		happened = event.Normal(string(d.Reason), "AllowEviction", d.Message)
	}
	if d.Allow {
		happened.Action = "AllowEviction"
	}
	event.Record(w.events, about, happened)
}

// told remembers what has been told of late.
type told struct {
	mu   sync.Mutex
	seen map[telling]time.Time
}

type telling struct {
	uid     types.UID
	reason  decide.Reason
	overdue bool
}

// tellAgain is how long the same is not told again.
const tellAgain = 10 * time.Minute

func (t *told) first(what telling, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.seen[what]; ok && now.Sub(last) < tellAgain {
		return false
	}
	for other, last := range t.seen {
		if now.Sub(last) >= tellAgain {
			delete(t.seen, other)
		}
	}
	t.seen[what] = now
	return true
}
