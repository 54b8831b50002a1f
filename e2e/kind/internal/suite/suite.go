// Package suite runs test suites one after the other and prints the result of every check.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Suite is a sequence of checks on a cluster.
type Suite struct {
	Name string
	// Description states in a sentence what the suite verifies.
	Description string
	// Services are the services that the suite uses besides connect-scheduler and drain-cleaner.
	Services []string
	// Run runs the checks. It stops at the first error.
	Run func(context.Context, *Results) error
}

// Results is the table of the results of a suite.
type Results struct {
	suite string
	out   io.Writer
	began time.Time
	rows  []row
	// details is a table that follows the checks.
	details [][]string
}

type row struct {
	check, result string
	took          time.Duration
	failed        bool
}

// errStep marks errors that are already in the table.
var errStep = errors.New("a step failed")

// Step runs one check within its time limit. run returns a short result for the table.
func (r *Results) Step(ctx context.Context, check string, limit time.Duration,
	run func(context.Context) (result string, err error)) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fmt.Fprintf(r.out, "%s %6.1fs  %s …\n", r.suite, time.Since(r.began).Seconds(), check)
	result, err := run(ctx)
	took := time.Since(began)
	if err != nil {
		r.rows = append(r.rows, row{check, firstLine(err.Error()), took, true})
		return fmt.Errorf("%w: %s: %w", errStep, check, err)
	}
	r.rows = append(r.rows, row{check, result, took, false})
	return nil
}

// Table adds a table that is printed after the checks. Its first row has the titles of the columns.
func (r *Results) Table(rows [][]string) { r.details = rows }

// write prints the table to the output of the suite.
func (r *Results) write() {
	width := 0
	for _, line := range r.rows {
		width = max(width, len([]rune(line.check)))
	}
	for _, line := range r.rows {
		mark := "ok  "
		if line.failed {
			mark = "FAIL"
		}
		padding := strings.Repeat(" ", width-len([]rune(line.check)))
		fmt.Fprintf(r.out, "  %s %s%s %6.1fs  %s\n", mark, line.check, padding, line.took.Seconds(), line.result)
	}
	if len(r.details) > 1 {
		table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
		defer table.Flush()
		fmt.Fprintln(table)
		for _, line := range r.details {
			fmt.Fprintln(table, "  "+strings.Join(line, "\t"))
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Run runs the suites one after the other and prints their results. After a failed suite it calls failed, which
// collects diagnostics, and continues with the next suite.
func Run(ctx context.Context, out io.Writer, suites []Suite, failed func(context.Context, Suite)) error {
	var errs []error
	results := make([]*Results, len(suites))
	for i, s := range suites {
		results[i] = &Results{suite: s.Name, out: out, began: time.Now()}
		err := s.Run(ctx, results[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("suite %s: %w", s.Name, err))
			fmt.Fprintf(out, "%s FAILED: %v\n", s.Name, err)
			failed(context.WithoutCancel(ctx), s)
			if !errors.Is(err, errStep) {
				results[i].rows = append(results[i].rows, row{"set up the suite", firstLine(err.Error()), 0, true})
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	for i, s := range suites {
		if results[i] == nil {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", s.Name, s.Description)
		results[i].write()
	}
	return errors.Join(errs...)
}
