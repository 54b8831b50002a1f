package lookup

import (
	"context"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// maxSilence is how long a watch may be silent before its cache no longer counts as synced. The API server sends a
// bookmark each minute.
const maxSilence = 2 * time.Minute

// freshness is when a watch last delivered an event or a bookmark.
type freshness struct {
	now  func() time.Time
	last atomic.Int64
}

// fresh reports whether the watch was heard of recently.
func (f *freshness) fresh() bool { return f.now().UnixNano()-f.last.Load() < int64(maxSilence) }

func (f *freshness) heard() { f.last.Store(f.now().UnixNano()) }

// lister is the part of a typed client that an informer uses.
type lister[L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// newInformer returns an informer indexed by namespace. It records in f when the API server was last heard of. client
// is the clientset of c.
func newInformer[L runtime.Object](
	client any, c lister[L], selector string, example runtime.Object, f *freshness,
) cache.SharedIndexInformer {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			list, err := c.List(ctx, o)
			if err == nil {
				f.heard()
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector, o.AllowWatchBookmarks = selector, true
			w, err := c.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
				if e.Type != watch.Error {
					f.heard()
				}
				return e, true
			}), nil
		},
	}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, client), example, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
}
