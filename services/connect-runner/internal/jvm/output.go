package jvm

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// outOfMemoryLine is the start of the line that -XX:+ExitOnOutOfMemoryError prints.
const outOfMemoryLine = "Terminating due to java.lang.OutOfMemoryError: "

// maxLineKept bounds the memory for one line of the JVM's output.
const maxLineKept = 512

// outputMonitor looks for the JVM's own messages in its output.
type outputMonitor struct {
	mu          sync.Mutex
	outOfMemory string
	firstLine   string
}

// watch returns a writer that forwards to out and scans each line.
func (m *outputMonitor) watch(out io.Writer) io.Writer { return &monitoredWriter{monitor: m, out: out} }

// findings returns the message about exhausted memory and the first line; empty if there is none.
func (m *outputMonitor) findings() (outOfMemory, firstLine string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.outOfMemory, m.firstLine
}

func (m *outputMonitor) scan(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.firstLine == "" {
		m.firstLine = strings.TrimSpace(line)
	}
	if message, ok := strings.CutPrefix(line, outOfMemoryLine); ok {
		m.outOfMemory = strings.TrimSpace(message)
	}
}

// monitoredWriter splits a stream into lines.
type monitoredWriter struct {
	monitor *outputMonitor
	out     io.Writer
	line    []byte
}

func (w *monitoredWriter) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		text, after, complete := bytes.Cut(rest, []byte("\n"))
		w.line = append(w.line, text[:min(len(text), maxLineKept-len(w.line))]...)
		if complete {
			w.monitor.scan(string(w.line))
			w.line = w.line[:0]
		}
		rest = after
	}
	if w.out == nil {
		return len(data), nil
	}
	return w.out.Write(data)
}
