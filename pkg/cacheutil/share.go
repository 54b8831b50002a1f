package cacheutil

import "sync"

const (
	// maxShared is the number of strings after which Strings starts again, so that those of deleted objects do not stay in
	// memory. Objects that share strings keep them.
	maxShared = 20_000
	// maxLength is the length in bytes of the longest shared string. Longer ones are rarely equal.
	maxLength = 128
)

// Strings lets cached objects share equal strings, which a decoder allocates for each object. The zero value is ready,
// and safe for concurrent use.
type Strings struct {
	mu    sync.Mutex
	known map[string]string
}

// Share replaces each value by an equal one that was shared before.
func Share[S ~string](s *Strings, values ...*S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range values {
		if *value == "" || len(*value) > maxLength {
			continue
		}
		known, found := s.known[string(*value)]
		if !found {
			if s.known == nil || len(s.known) >= maxShared {
				s.known = map[string]string{}
			}
			known = string(*value)
			s.known[known] = known
		}
		*value = S(known)
	}
}
