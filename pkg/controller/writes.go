package controller

import (
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// A key whose caches lag is looked at again when the event of its own write arrives; these bound the check that
// goes on beside, for the case that the event maps to no key.
const (
	firstWait = 20 * time.Millisecond
	maxWait   = 2 * time.Second
)

// writes remembers, for each key, what its last reconciles wrote until the caches have seen it.
type writes struct {
	mu      sync.Mutex
	stores  map[reflect.Type]cache.Store
	pending map[Key]*pending
}

type pending struct {
	// versions are the newest resource version written of each type.
	versions map[reflect.Type]string
	// deleted are the objects deleted, by type and cache key.
	deleted map[deletedObject]types.UID
	waited  time.Duration
}

type deletedObject struct {
	kind reflect.Type
	key  string
}

func newWrites() *writes {
	return &writes{stores: map[reflect.Type]cache.Store{}, pending: map[Key]*pending{}}
}

func (w *writes) track(kind reflect.Type, store cache.Store) { w.stores[kind] = store }

// wait returns 0 when the caches have seen all writes of key, else how long to wait before looking again.
func (w *writes) wait(key Key) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[key]
	if p == nil {
		return 0
	}
	for kind, written := range p.versions {
		if !seen(w.stores[kind].LastStoreSyncResourceVersion(), written) {
			return p.backOff()
		}
	}
	for object, uid := range p.deleted {
		if stillThere(w.stores[object.kind], object.key, uid) {
			return p.backOff()
		}
	}
	delete(w.pending, key)
	return 0
}

func (p *pending) backOff() time.Duration {
	p.waited = min(max(2*p.waited, firstWait), maxWait)
	return p.waited
}

func seen(cached, written string) bool {
	order, err := resourceversion.CompareResourceVersion(cached, written)
	// Versions that cannot be compared, as those of an API server that is not Kubernetes' own, are not waited for.
	return err != nil && cached != "" || err == nil && order >= 0
}

func stillThere(store cache.Store, key string, uid types.UID) bool {
	item, exists, err := store.GetByKey(key)
	if err != nil || !exists {
		return false
	}
	object, ok := item.(metav1.Object)
	return ok && object.GetUID() == uid && object.GetDeletionTimestamp() == nil
}

// of returns the observer of the writes that are made for key.
func (w *writes) of(key Key) *keyWrites { return &keyWrites{writes: w, key: key} }

type keyWrites struct {
	writes *writes
	key    Key
}

func (k *keyWrites) Wrote(object metav1.Object) {
	k.record(object, func(p *pending, kind reflect.Type) {
		if before, ok := p.versions[kind]; !ok || !seen(before, object.GetResourceVersion()) {
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
