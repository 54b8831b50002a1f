package csi

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Locks allow one operation per volume at a time. The zero value has no locks.
type Locks struct {
	mu   sync.Mutex
	held map[string]string
}

// Lock locks an id for an operation until unlock is called. If another operation has the lock, the error has the code
// Aborted, so that the caller tries again.
func (l *Locks) Lock(id, operation string) (unlock func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if running, busy := l.held[id]; busy {
		return nil, status.Errorf(codes.Aborted, "%s of %q: %s is pending for the same volume; try again",
			operation, id, running)
	}
	if l.held == nil {
		l.held = map[string]string{}
	}
	l.held[id] = operation
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, id)
	}, nil
}

// Held reports whether an operation has the lock of an id.
func (l *Locks) Held(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, busy := l.held[id]
	return busy
}
