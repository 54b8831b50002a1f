package decide

import drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"

// Input is one input of a decision: a value, or the reason why it could not be read. Each input has an error of its
// own, so that a failed read affects only the decisions that depend on this input. The zero value has not been read.
type Input[T any] struct {
	value  T
	fault  Fault
	origin origin
}

// origin is where an input comes from. The order is that of the trust in it.
type origin int

const (
	unread origin = iota
	// cached values may lag behind the API server.
	cached
	// synced values come from a cache whose watch delivered an event or a bookmark within the last two minutes.
	synced
	// live values were read from the API server, or from Kafka, for this review.
	live
)

// Fault is why an input could not be read. It contains no secrets.
type Fault struct {
	Reason  Reason
	Message string
}

// FromCache returns an input whose value may lag behind the API server.
func FromCache[T any](value T) Input[T] { return Input[T]{value: value, origin: cached} }

// FromSyncedCache returns an input from a cache that is known to be at most two minutes old.
func FromSyncedCache[T any](value T) Input[T] { return Input[T]{value: value, origin: synced} }

// FromLiveRead returns an input that was read for this review, past all caches. Only functions that do such a read may
// call it: evictions of protected pods are allowed on inputs of this kind only.
func FromLiveRead[T any](value T) Input[T] { return Input[T]{value: value, origin: live} }

// Unreadable returns an input that could not be read for this review.
func Unreadable[T any](f Fault) Input[T] { return Input[T]{fault: f, origin: live} }

// Failed returns an input whose read from the Kubernetes API failed.
func Failed[T any](err error) Input[T] {
	return Unreadable[T](Fault{Reason: drainv1alpha1.ReasonLookupFailed, Message: err.Error()})
}

// Value is the zero value of T if the input has not been read or could not be read.
func (i Input[T]) Value() T { return i.value }

// Fault returns why the input could not be read. Its reason is empty if the input was read.
func (i Input[T]) Fault() Fault { return i.fault }

// Failed reports whether the input could not be read.
func (i Input[T]) Failed() bool { return i.fault.Reason != "" }

// Read reports whether an attempt was made to read the input.
func (i Input[T]) Read() bool { return i.origin != unread }

// Live reports whether the input comes from a live read, successful or not.
func (i Input[T]) Live() bool { return i.origin == live }

// atLeast reports whether the input was never read or its origin is at least o.
func (i Input[T]) atLeast(o origin) bool { return i.origin == unread || i.origin >= o }

// denial is the decision for an input that could not be read.
func (i Input[T]) denial() (Decision, bool) { return deny(i.fault.Reason, i.fault.Message) }
