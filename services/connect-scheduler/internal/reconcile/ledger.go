package reconcile

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	connectlisters "github.com/weir-dev/weir/generated/listers/connect/v1"
	"github.com/weir-dev/weir/pkg/controller"
)

const (
	// restartingShare is the default limit of restarting pods, as a part of all pods.
	restartingShare = 10
	// maxRestarting is the maximum of the default limit.
	maxRestarting = 20
)

// DefaultMaxRestartingPods returns the default limit of restarting pods for a number of pods.
func DefaultMaxRestartingPods(pods int) int { return max(1, min(pods/restartingShare, maxRestarting)) }

// ledger divides the limit of pods that restart at the same time among KafkaConnectors. Its state is status.restarting
// of all KafkaConnectors. It is kept in memory, because the caches do not show the last writes yet.
type ledger struct {
	// limit returns the maximum number of pods that restart at the same time.
	limit func() int
	// wake enqueues a KafkaConnector that waits.
	wake func(controller.Key)

	mu sync.Mutex
	// used has the KafkaConnectors with restarting pods. It is nil until the first use.
	used map[controller.Key]usage
	// waiting are the KafkaConnectors with pods that wait, in the order of their arrival.
	waiting []waiter
	listers connectlisters.KafkaConnectorLister
}

// usage is the use of the limit by one KafkaConnector.
type usage struct {
	// pods is the number of restarting pods.
	pods int
	// failing is the number of these pods that fail after their restart.
	failing int
}

// waiter is a KafkaConnector with pods that wait.
type waiter struct {
	key   controller.Key
	pods  int
	whole bool
}

// acquire returns how many more pods of a KafkaConnector may restart now: at most pods, and either all or none if whole
// is true. Pods that are not granted wait until wake is called. KafkaConnectors that have waited longer go first.
// current is its use without these pods.
func (l *ledger) acquire(key controller.Key, current usage, pods int, whole bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	l.record(key, current)
	w := waiter{key, pods, whole}
	i := slices.IndexFunc(l.waiting, func(other waiter) bool { return other.key == key })
	if i < 0 {
		i = len(l.waiting)
		l.waiting = append(l.waiting, w)
	}
	l.waiting[i] = w
	for _, earlier := range l.waiting[:i] {
		if earlier.key.Namespace == key.Namespace || !l.fails(earlier.key.Namespace) {
			return 0
		}
	}
	granted := l.grant(w)
	if granted > 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.record(key, usage{current.pods + granted, current.failing})
	}
	return granted
}

// grant returns how many pods of a waiter may restart now. A set that can only restart as a whole and is larger than
// the limit restarts when no other pod does.
func (l *ledger) grant(w waiter) int {
	used, limit := l.usedFor(w.key.Namespace), l.limit()
	if w.whole {
		if used == 0 || used+w.pods <= limit {
			return w.pods
		}
		return 0
	}
	return max(0, min(w.pods, limit-used))
}

// usedFor returns the number of restarting pods that count for a namespace. Pods of other namespaces that fail do not
// count, so that the failures of one namespace do not stop the rollouts of another.
func (l *ledger) usedFor(namespace string) int {
	used := 0
	for key, u := range l.used {
		used += u.pods
		if key.Namespace != namespace {
			used -= u.failing
		}
	}
	return used
}

func (l *ledger) fails(namespace string) bool {
	for key, u := range l.used {
		if key.Namespace == namespace && u.failing > 0 {
			return true
		}
	}
	return false
}

// set records the use of a KafkaConnector after a decision, and whether pods of it still wait. It wakes others.
func (l *ledger) set(key controller.Key, u usage, waits bool) {
	l.mu.Lock()
	l.init()
	l.record(key, u)
	i := slices.IndexFunc(l.waiting, func(w waiter) bool { return w.key == key })
	switch {
	case waits && i < 0:
		// It was granted a part. Its other pods wait behind those that have arrived meanwhile.
		l.waiting = append(l.waiting, waiter{key: key, pods: 1})
	case !waits && i >= 0:
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	ready := l.ready(key)
	l.mu.Unlock()
	for _, next := range ready {
		l.wake(next)
	}
}

func (l *ledger) record(key controller.Key, u usage) {
	if u.pods == 0 {
		delete(l.used, key)
		return
	}
	l.used[key] = u
}

// ready returns the waiting KafkaConnectors, except one, whose next decision would restart pods.
func (l *ledger) ready(except controller.Key) []controller.Key {
	var found []controller.Key
	blocked := map[string]bool{}
	for _, w := range l.waiting {
		if blocked[""] || blocked[w.key.Namespace] {
			continue
		}
		if w.key != except && l.grant(w) > 0 {
			found = append(found, w.key)
		}
		// Later arrivals wait for this one. Those of other namespaces do not if its namespace has failing pods.
		blocked[w.key.Namespace] = true
		if !l.fails(w.key.Namespace) {
			blocked[""] = true
		}
	}
	return found
}

// init reads the use that another process has recorded.
func (l *ledger) init() {
	if l.used != nil {
		return
	}
	l.used = map[controller.Key]usage{}
	// A lister of an informer does not fail.
	all, _ := l.listers.List(labels.Everything())
	for _, c := range all {
		if n := len(c.Status.Restarting); n > 0 {
			l.used[controller.Key{Namespace: c.Namespace, Name: c.Name}] = usage{pods: n}
		}
	}
}

// counts returns the numbers of restarting pods and of waiting KafkaConnectors.
func (l *ledger) counts() (restarting, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.used {
		restarting += u.pods
	}
	return restarting, len(l.waiting)
}
