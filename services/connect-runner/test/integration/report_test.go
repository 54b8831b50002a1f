package integration

import (
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
)

// report collects the results of all benchmarks for one table.
type report struct {
	mu   sync.Mutex
	rows [][3]string
}

var results report

// add records a result and its target; the target may be empty.
func (r *report) add(what, aim, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, [3]string{what, fmt.Sprintf(format, args...), aim})
}

func (r *report) write(out io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\nconnect-runner\tresult\ttarget")
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	_ = w.Flush()
}
