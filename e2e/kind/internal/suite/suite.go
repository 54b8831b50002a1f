// Package suite runs suites one by one and tells what each has proved.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Suite shows one promise of Weir on a real cluster.
type Suite struct {
	Name string
	// About is what it shows, in a sentence.
	About string
	// Run proves it step by step.
	Run func(context.Context, *Proof) error
}

// Proof is the table of what a suite has proved so far.
type Proof struct {
	suite string
	out   io.Writer
	began time.Time
	rows  []row
}

type row struct {
	claim, seen string
	took        time.Duration
	failed      bool
}

// errStep marks errors that the table has already.
var errStep = errors.New("a step failed")

// Step proves one claim; what it has seen goes beside the claim. A suite ends at its first error.
func (p *Proof) Step(ctx context.Context, claim string, limit time.Duration, prove func(context.Context) (seen string, err error)) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fmt.Fprintf(p.out, "%s %6.1fs  %s …\n", p.suite, time.Since(p.began).Seconds(), claim)
	seen, err := prove(ctx)
	took := time.Since(began)
	if err != nil {
		p.rows = append(p.rows, row{claim, firstLine(err.Error()), took, true})
		return fmt.Errorf("%w: %s: %w", errStep, claim, err)
	}
	p.rows = append(p.rows, row{claim, seen, took, false})
	return nil
}

func (p *Proof) table() {
	width := 0
	for _, r := range p.rows {
		width = max(width, len([]rune(r.claim)))
	}
	for _, r := range p.rows {
		mark := "ok  "
		if r.failed {
			mark = "FAIL"
		}
		fmt.Fprintf(p.out, "  %s %s%s %6.1fs  %s\n", mark, r.claim, strings.Repeat(" ", width-len([]rune(r.claim))), r.took.Seconds(), r.seen)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Run runs the suites, one after the other, and prints what each has proved. A suite that fails does not keep the next from running;
// failed is called for it, to collect what explains it.
func Run(ctx context.Context, out io.Writer, suites []Suite, failed func(context.Context, Suite)) error {
	var errs []error
	proofs := make([]*Proof, len(suites))
	for i, s := range suites {
		proofs[i] = &Proof{suite: s.Name, out: out, began: time.Now()}
		err := s.Run(ctx, proofs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("suite %s: %w", s.Name, err))
			fmt.Fprintf(out, "%s FAILED: %v\n", s.Name, err)
			failed(context.WithoutCancel(ctx), s)
			if !errors.Is(err, errStep) {
				proofs[i].rows = append(proofs[i].rows, row{"the suite can be set up", firstLine(err.Error()), 0, true})
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	for i, s := range suites {
		if proofs[i] == nil {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", s.Name, s.About)
		proofs[i].table()
	}
	return errors.Join(errs...)
}
