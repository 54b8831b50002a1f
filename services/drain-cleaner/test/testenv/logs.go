package testenv

import (
	"sync"
	"testing"
)

// logs of all replicas.
var logs Tail

// Tail is a writer that keeps the last 64 KiB.
type Tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-1<<16):]
	return len(p), nil
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// ShowLogs prints the last logs of all replicas when the test fails.
func ShowLogs(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs of drain-cleaner:\n%s", logs.String())
		}
	})
}
