package cacheutil

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/pkg/timer"
)

const (
	// minProbeInterval and maxProbeInterval bound the time between two probes of a resource that is not served. A
	// reflector retries after up to 30 s, which is why Starter probes instead of starting the informer.
	minProbeInterval = 250 * time.Millisecond
	maxProbeInterval = 2 * time.Second
	// forbiddenProbeInterval is the longest time between two probes of a resource that the service may not list.
	forbiddenProbeInterval = 10 * time.Second
	probeTimeout           = 10 * time.Second
)

// Starter starts informers when their resources can be listed. A resource cannot be listed while its
// CustomResourceDefinition is missing or while the service lacks the right. Starter then probes the resource at most
// every 2 s (10 s if the right is missing) and starts the informer as soon as the API server answers, so a cache is
// ready within seconds after the definition appears. A probe is a list request with limit=1: it needs no right besides
// the informer's own.
//
// Add all informers before Run.
type Starter struct {
	client rest.Interface
	log    *slog.Logger

	informers []*Informer
	running   sync.WaitGroup
}

// NewStarter returns a Starter that probes with client, for example the RESTClient of a discovery client.
func NewStarter(client rest.Interface, log *slog.Logger) *Starter {
	return &Starter{client: client, log: log}
}

// Informer is an informer that a Starter starts.
type Informer struct {
	cache.SharedIndexInformer
	resource  schema.GroupVersionResource
	namespace string

	mu      sync.Mutex
	started bool
	err     error
}

// Add adds an informer of resource in namespace, or in all namespaces if namespace is empty. It returns the informer's
// state.
func (s *Starter) Add(
	resource schema.GroupVersionResource, namespace string, informer cache.SharedIndexInformer,
) *Informer {
	added := &Informer{SharedIndexInformer: informer, resource: resource, namespace: namespace}
	s.informers = append(s.informers, added)
	return added
}

// Run starts each informer as soon as its resource can be listed. It returns when ctx has ended and all informers have
// stopped.
func (s *Starter) Run(ctx context.Context) error {
	for _, informer := range s.informers {
		s.running.Go(func() {
			if s.waitUntilListed(ctx, informer) {
				informer.RunWithContext(ctx)
			}
		})
	}
	s.running.Wait()
	return nil
}

// Synced returns nil when all caches are synced. Its error names each cache that is not, and the reason. It is a check
// for /readyz.
func (s *Starter) Synced(context.Context) error {
	var missing []string
	for _, informer := range s.informers {
		if err := informer.Err(); err != nil {
			missing = append(missing, err.Error())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("%s", strings.Join(missing, "; "))
}

// Started reports whether the resource could be listed and the informer was started.
func (i *Informer) Started() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.started
}

// Err returns nil if the cache is synced, or why it is not.
func (i *Informer) Err() error {
	i.mu.Lock()
	err := i.err
	i.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("cache of %s is not synced: %w", i.name(), err)
	case !i.HasSynced():
		return fmt.Errorf("cache of %s is not synced", i.name())
	}
	return nil
}

func (i *Informer) name() string { return i.resource.GroupResource().String() }

func (i *Informer) set(started bool, err error) (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	changed = fmt.Sprint(i.err) != fmt.Sprint(err)
	i.started, i.err = started, err
	return changed
}

// waitUntilListed returns true when the resource can be listed, and false when ctx has ended.
func (s *Starter) waitUntilListed(ctx context.Context, informer *Informer) bool {
	delay := minProbeInterval
	for {
		err := s.probe(ctx, informer)
		if ctx.Err() != nil {
			return false
		}
		if informer.set(err == nil, err) && err != nil {
			s.log.Warn("waiting for a resource to become available", "resource", informer.name(), "error", err)
		}
		if err == nil {
			return true
		}
		longest := maxProbeInterval
		if apierrors.IsForbidden(err) {
			longest = forbiddenProbeInterval
		}
		delay = min(2*delay, longest)
		if !timer.Sleep(ctx, delay) {
			return false
		}
	}
}

// probe lists at most one object. An error of NotFound means that the API server does not serve the resource.
func (s *Starter) probe(ctx context.Context, informer *Informer) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	gvr := informer.resource
	path := []string{"/apis", gvr.Group, gvr.Version}
	if gvr.Group == "" {
		path = []string{"/api", gvr.Version}
	}
	if informer.namespace != "" {
		path = append(path, "namespaces", informer.namespace)
	}
	err := s.client.Get().AbsPath(append(path, gvr.Resource)...).Param("limit", "1").Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the API server does not serve %s %s; install its CustomResourceDefinition: %w",
			gvr.GroupVersion(), gvr.Resource, err)
	}
	return err
}
