package controller

import (
	"reflect"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// The event of the controller's own write usually requeues a deferred key. These are the delays of the additional
// check, for events that map to no key.
const (
	minDelay = 20 * time.Millisecond
	maxDelay = 2 * time.Second
)

// writes records the writes of the last reconciles of each key until the caches have observed them.
type writes struct {
	mu      sync.Mutex
	stores  map[reflect.Type]cache.Store
	pending map[Key]*pending
}

type pending struct {
	// versions is the newest resource version written, by type.
	versions map[reflect.Type]string
	// deleted is the UIDs of deleted objects, by type and cache key.
	deleted map[deletedObject]types.UID
	delay   time.Duration
}

type deletedObject struct {
	kind reflect.Type
	key  string
}

func newWrites() *writes {
	return &writes{stores: map[reflect.Type]cache.Store{}, pending: map[Key]*pending{}}
}

func (w *writes) track(kind reflect.Type, store cache.Store) { w.stores[kind] = store }

// wait returns 0 if the caches have observed all writes for key, or the delay until the next check.
func (w *writes) wait(key Key) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[key]
	if p == nil {
		return 0
	}
	for kind, written := range p.versions {
		if !observed(w.stores[kind].LastStoreSyncResourceVersion(), written) {
			return p.nextDelay()
		}
	}
	for object, uid := range p.deleted {
		if exists(w.stores[object.kind], object.key, uid) {
			return p.nextDelay()
		}
	}
	delete(w.pending, key)
	return 0
}

func (p *pending) nextDelay() time.Duration {
	p.delay = min(max(2*p.delay, minDelay), maxDelay)
	return p.delay
}

func observed(cached, written string) bool {
	order, err := resourceversion.CompareResourceVersion(cached, written)
	// Versions of an aggregated API server may not be comparable. They are not waited for.
	return err != nil && cached != "" || err == nil && order >= 0
}

// exists reports whether the cache still holds the object, and not as one that is being deleted.
func exists(store cache.Store, key string, uid types.UID) bool {
	item, found, err := store.GetByKey(key)
	if err != nil || !found {
		return false
	}
	object, ok := item.(metav1.Object)
	return ok && object.GetUID() == uid && object.GetDeletionTimestamp() == nil
}

// of returns the observer of writes for key.
func (w *writes) of(key Key) *keyWrites { return &keyWrites{writes: w, key: key} }

type keyWrites struct {
	writes *writes
	key    Key
}

func (k *keyWrites) Wrote(object metav1.Object) {
	k.record(object, func(p *pending, kind reflect.Type) {
		if before, ok := p.versions[kind]; !ok || !observed(before, object.GetResourceVersion()) {
			p.versions[kind] = object.GetResourceVersion()
		}
	})
}

func (k *keyWrites) Deleted(object metav1.Object) {
	k.record(object, func(p *pending, kind reflect.Type) {
		name := cache.NewObjectName(object.GetNamespace(), object.GetName()).String()
		p.deleted[deletedObject{kind, name}] = object.GetUID()
	})
}

func (k *keyWrites) record(object metav1.Object, add func(*pending, reflect.Type)) {
	kind := reflect.TypeOf(object)
	k.writes.mu.Lock()
	defer k.writes.mu.Unlock()
	if _, tracked := k.writes.stores[kind]; !tracked {
		return
	}
	p := k.writes.pending[k.key]
	if p == nil {
		p = &pending{versions: map[reflect.Type]string{}, deleted: map[deletedObject]types.UID{}}
		k.writes.pending[k.key] = p
	}
	add(p, kind)
}
