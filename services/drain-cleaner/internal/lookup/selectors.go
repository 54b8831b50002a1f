package lookup

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

// selectable is an object of a cache with a selector.
type selectable interface {
	comparable
	metav1.Object
}

// selectors are the parsed selectors of the objects of a cache. A review matches all policies and budgets of a
// namespace, which takes much less time than to parse their selectors.
type selectors[T selectable] struct {
	// parse returns the selector of an object.
	parse func(T) labels.Selector

	mu     sync.RWMutex
	parsed map[cache.ObjectName]parsedSelector[T]
}

type parsedSelector[T any] struct {
	labels.Selector
	// object is the object of the cache whose selector was parsed.
	object T
}

// newSelectors returns the selectors of the objects of an informer. selectorOf returns the field of an object.
func newSelectors[T selectable](selectorOf func(T) *metav1.LabelSelector) *selectors[T] {
	return &selectors[T]{
		parsed: map[cache.ObjectName]parsedSelector[T]{},
		parse: func(object T) labels.Selector {
			parsed, err := metav1.LabelSelectorAsSelector(selectorOf(object))
			if err != nil {
				// A selector that is not valid selects no pod.
				return labels.Nothing()
			}
			return parsed
		},
	}
}

// of returns the selector of an object. It parses the selectors of objects that were read from the API server, and of
// those that have just reached the cache.
func (s *selectors[T]) of(object T) labels.Selector {
	s.mu.RLock()
	known, found := s.parsed[cache.MetaObjectToName(object)]
	s.mu.RUnlock()
	if found && known.object == object {
		return known.Selector
	}
	return s.parse(object)
}

// handler parses the selector of each object that reaches the cache.
func (s *selectors[T]) handler() cache.ResourceEventHandler {
	set := func(object any) {
		if typed, ok := object.(T); ok {
			parsed := parsedSelector[T]{s.parse(typed), typed}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.parsed[cache.MetaObjectToName(typed)] = parsed
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, after any) { set(after) },
		DeleteFunc: func(object any) {
			if name, err := cache.DeletionHandlingObjectToName(object); err == nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.parsed, name)
			}
		},
	}
}
