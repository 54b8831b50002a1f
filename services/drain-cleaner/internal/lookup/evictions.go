package lookup

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// recentEvictions are the last evictions by pod name. kubectl drain repeats an eviction by name, and would have the
// replacement rolled on its new node, and the replacement of the replacement.
type recentEvictions struct {
	now    func() time.Time
	mu     sync.Mutex
	byName map[cache.ObjectName]recentEviction
}

type recentEviction struct {
	uid  types.UID
	node string
	at   time.Time
}

func newRecentEvictions(now func() time.Time) *recentEvictions {
	return &recentEvictions{now: now, byName: map[cache.ObjectName]recentEviction{}}
}

// add records that the eviction of a pod was requested or that the pod was deleted.
func (r *recentEvictions) add(namespace, name, node string, uid types.UID) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.byName {
		if now.Sub(old.at) > decide.DrainTimeout {
			delete(r.byName, key)
		}
	}
	r.byName[cache.NewObjectName(namespace, name)] = recentEviction{uid: uid, node: node, at: now}
}

// find returns the recent eviction of another pod with the same name, or nil.
func (r *recentEvictions) find(namespace, name string, uid types.UID) *decide.RecentEviction {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, known := r.byName[cache.NewObjectName(namespace, name)]
	if !known || e.uid == uid || r.now().Sub(e.at) > decide.DrainTimeout {
		return nil
	}
	return &decide.RecentEviction{Node: e.node, At: e.at}
}

// handler records pods that are deleted with the annotations of a drain. Each replica learns of them this way,
// whichever replica answered the review.
func (r *recentEvictions) handler() cache.ResourceEventHandler {
	deleted := func(object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return
		}
		if pod.Annotations[contract.ManualRollingUpdate] == "true" || pod.Annotations[contract.AnnotationDrain] != "" {
			r.add(pod.Namespace, pod.Name, pod.Spec.NodeName, pod.UID)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		DeleteFunc: deleted,
		UpdateFunc: func(before, after any) {
			was, ok := before.(*corev1.Pod)
			is, alsoOK := after.(*corev1.Pod)
			if ok && alsoOK && was.UID != is.UID {
				deleted(was)
			}
		},
	}
}
