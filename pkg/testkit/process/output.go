package process

import (
	"bytes"
	"sync"
)

// Output collects the output of a process that is still running.
type Output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write appends to the output.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

// String returns the output until now.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// End returns the last bytes of the output, at most n.
func (o *Output) End(n int) string {
	text := o.String()
	return text[max(0, len(text)-n):]
}
