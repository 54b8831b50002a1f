package e2e

import (
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
)

// report is what the benchmarks have measured, for one table at their end.
type report struct {
	mu   sync.Mutex
	rows [][3]string
}

var theReport report

// add notes a number and what it is aimed at, if anything.
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
	fmt.Fprintln(w, "\nconnect-runner\tmeasured\taim")
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	_ = w.Flush()
}
