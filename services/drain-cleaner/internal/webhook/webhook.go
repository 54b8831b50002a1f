// Package webhook answers admission reviews of evictions. It parses the review, evaluates it, and queues annotations
// and events that follow from the decision.
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

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
)

// Path of the reviews, as with Strimzi's Drain Cleaner.
const Path = "/drainer"

// Evaluator answers whether a pod may be evicted.
type Evaluator interface {
	// EvictImmediately answers without I/O, or returns false.
	EvictImmediately(r decide.Request) (evaluate.Verdict, bool)
	Evict(ctx context.Context, r decide.Request) evaluate.Verdict
}

// AnnotationQueue writes annotations on pods.
type AnnotationQueue interface {
	Add(pod *decide.Pod, roll, record bool)
}

// Webhook reviews evictions. New makes it.
type Webhook struct {
	evaluator   Evaluator
	annotations AnnotationQueue
	events      events.EventRecorder
	metrics     *Metrics
	now         func() time.Time
	log         *slog.Logger
	recorded    recordedEvents
}

// New returns a Webhook.
func New(
	e Evaluator, q AnnotationQueue, recorder events.EventRecorder, m *Metrics, now func() time.Time, log *slog.Logger,
) *Webhook {
	return &Webhook{
		evaluator: e, annotations: q, events: recorder, metrics: m, now: now, log: log,
		recorded: recordedEvents{at: map[eventKey]time.Time{}},
	}
}

// Immediate answers a request that needs no I/O, or returns false.
func (w *Webhook) Immediate(r admission.Request) (admission.Response, bool) {
	start := w.now()
	verdict, ok := w.evaluator.EvictImmediately(Parse(r))
	if !ok {
		return admission.Response{}, false
	}
	w.metrics.reviewed(verdict.Decision, w.now().Sub(start))
	return respond(verdict.Decision), true
}

// Review answers one request.
func (w *Webhook) Review(ctx context.Context, r admission.Request) admission.Response {
	start := w.now()
	request := Parse(r)
	verdict := w.evaluator.Evict(ctx, request)
	if pod := verdict.State.Pod.Value(); pod != nil {
		w.annotations.Add(pod, verdict.Roll, verdict.Record)
		if !request.DryRun {
			w.recordEvent(pod, verdict.Decision)
		}
	}
	w.metrics.reviewed(verdict.Decision, w.now().Sub(start))
	return respond(verdict.Decision)
}

// Fallback denies a request that could not be evaluated.
func (w *Webhook) Fallback(r admission.Request, err error) admission.Response {
	w.log.Error("could not evaluate the review", "namespace", r.Namespace, "name", r.Name, "error", err)
	d := decide.Decision{Reason: drainv1alpha1.ReasonLookupFailed, Message: err.Error()}
	w.metrics.reviewed(d, 0)
	return respond(d)
}

// respond denies with 429: kubectl drain prints the message and retries every five seconds. With 404 kubectl drain
// takes the pod as evicted. With other codes it gives up.
func respond(d decide.Decision) admission.Response {
	message := d.Message
	if d.Reason != drainv1alpha1.ReasonRollRequested {
		message = fmt.Sprintf("%s: %s", d.Reason, d.Message)
	}
	switch {
	case d.Allow:
		return admission.Response{Allowed: true, Message: message}
	case d.NotFound:
		return admission.Response{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: message}
	}
	return admission.Response{
		Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: message,
	}
}

// Parse reads a review. The name and namespace of the Eviction take precedence over those of the request.
func Parse(r admission.Request) decide.Request {
	var e policyv1.Eviction
	versions := []string{policyv1.SchemeGroupVersion.String(), policyv1beta1.SchemeGroupVersion.String()}
	err := json.Unmarshal(r.Object, &e)
	if err != nil || e.Kind != "Eviction" || !slices.Contains(versions, e.APIVersion) {
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

// withoutEvent are reasons for which no event is recorded.
var withoutEvent = map[decide.Reason]bool{
	drainv1alpha1.ReasonNotProtected: true, drainv1alpha1.ReasonUIDDiffers: true,
	drainv1alpha1.ReasonPodTerminating: true, drainv1alpha1.ReasonPodFinished: true,
	drainv1alpha1.ReasonPodPending: true,
}

// recordEvent records an event on the pod, once for each reason.
func (w *Webhook) recordEvent(pod *decide.Pod, d decide.Decision) {
	key := eventKey{pod.UID, d.Reason, d.Overdue}
	if withoutEvent[d.Reason] || !w.recorded.first(key, w.now()) {
		return
	}
	regarding := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	action := "DenyEviction"
	if d.Allow {
		action = "AllowEviction"
	}
	e := event.Normal(string(d.Reason), action, d.Message)
	if d.Overdue || d.NeedsAction {
		e = event.Warning(string(d.Reason), action, d.Message)
	}
	event.Record(w.events, regarding, e)
}

// recordedEvents are the events of the last minutes.
type recordedEvents struct {
	mu sync.Mutex
	at map[eventKey]time.Time
}

type eventKey struct {
	uid     types.UID
	reason  decide.Reason
	overdue bool
}

// eventInterval is how long the same event is not repeated.
const eventInterval = 10 * time.Minute

// first reports whether the event was not recorded within the interval, and records it.
func (r *recordedEvents) first(key eventKey, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.at[key]; ok && now.Sub(last) < eventInterval {
		return false
	}
	for other, last := range r.at {
		if now.Sub(last) >= eventInterval {
			delete(r.at, other)
		}
	}
	r.at[key] = now
	return true
}
