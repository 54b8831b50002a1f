package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// writeInterval is the time between two writes. Each one is several requests to all bricks.
const writeInterval = 200 * time.Millisecond

// written is the output of write. The suites decode it as env.Written.
type written struct {
	// Writes is the number of successful writes, Failed that of failed ones.
	Writes int64 `json:"writes"`
	Failed int64 `json:"failed"`
	// Outages are the times without a successful write, in seconds, between two that were separated by failed ones.
	Outages []float64 `json:"outages,omitempty"`
	// Down is true after a failed write.
	Down bool `json:"down,omitempty"`
	// Error is the last one.
	Error string `json:"error,omitempty"`
}

// writer appends to one file that it keeps open, and replaces another one.
type writer struct {
	directory, name string
	file            *os.File
}

// write writes to a directory until the context ends, and prints a tally each second. It opens its file again only
// after an error.
func write(ctx context.Context, o options) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	w := writer{directory: o.directory, name: name}
	var t written
	tick := time.NewTicker(writeInterval)
	defer tick.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
				return err
			}
		case <-tick.C:
			if err := w.write(t.Writes); err != nil {
				t.Failed++
				t.Down, t.Error = true, err.Error()
				continue
			}
			if t.Down {
				t.Outages = append(t.Outages, time.Since(last).Seconds())
			}
			last = time.Now()
			t.Writes++
			t.Down = false
		}
	}
}

// write appends a number to the open file, and replaces the other file with it and reads it again.
func (w *writer) write(n int64) (err error) {
	if w.file == nil {
		w.file, err = os.OpenFile(filepath.Join(w.directory, w.name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
	}
	text := fmt.Appendln(nil, n)
	if _, err := w.file.Write(text); err != nil {
		_ = w.file.Close()
		w.file = nil
		return err
	}
	name := filepath.Join(w.directory, w.name+".last")
	if err := os.WriteFile(name, text, 0o666); err != nil {
		return err
	}
	read, err := os.ReadFile(name)
	if err == nil && string(read) != string(text) {
		err = fmt.Errorf("%s has %q, want %q", name, read, text)
	}
	return err
}
