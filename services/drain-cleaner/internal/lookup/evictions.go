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

// recentEvictions remember whose leaving was asked for, by name: kubectl drain goes on evicting by name, and would have the replacement
// rolled on its new node, and the one after that.
type recentEvictions struct {
	now func() time.Time
	mu  sync.Mutex
	of  map[string]recentEviction
}

type recentEviction struct {
	uid  types.UID
	node string
	at   time.Time
}

func newRecentEvictions(now func() time.Time) *recentEvictions {
	return &recentEvictions{now: now, of: map[string]recentEviction{}}
}

// asked notes that the pod was told to leave, or has left.
func (d *recentEvictions) asked(namespace, name, node string, uid types.UID) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, old := range d.of {
		if now.Sub(old.at) > decide.Forgotten {
			delete(d.of, key)
		}
	}
	d.of[namespace+"/"+name] = recentEviction{uid: uid, node: node, at: now}
}

// replaced tells whether another pod of that name was told to leave of late, and what node.
func (d *recentEvictions) replaced(namespace, name string, uid types.UID) (node string, replaced bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left, known := d.of[namespace+"/"+name]
	return left.node, known && left.uid != uid && d.now().Sub(left.at) <= decide.Forgotten
}

// handler notes pods that leave with the annotations of a drain: that way every replica knows, whichever was asked.
func (d *recentEvictions) handler() cache.ResourceEventHandler {
	left := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		pod, ok := object.(*corev1.Pod)
		if ok && (pod.Annotations[contract.ManualRollingUpdate] == "true" || pod.Annotations[contract.AnnotationDrain] != "") {
			d.asked(pod.Namespace, pod.Name, pod.Spec.NodeName, pod.UID)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		DeleteFunc: left,
		UpdateFunc: func(before, after any) {
			was, ok := before.(*corev1.Pod)
			is, alsoOK := after.(*corev1.Pod)
			if ok && alsoOK && was.UID != is.UID {
				left(was)
			}
		},
	}
}
