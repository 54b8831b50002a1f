// Command proof writes docs/proof.md: claims, the commands that test them, and what these printed in their last run.
//
//	proof -root DIR                         writes docs/proof.md from docs/proof/claims.yaml and docs/proof/results
//	proof -root DIR -run ID,ID              runs the commands of claims and records their results
//	proof -root DIR -record ID -log FILE    records the output of a run that has taken place, with -commit and -date
//
// A result names the commit that it was measured on, so -run needs a work tree without changes. With -results it is
// recorded in another directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "root directory of the repository")
	flag.StringVar(&o.run, "run", "", "IDs of the claims whose commands are run, separated by commas; all for all")
	flag.StringVar(&o.results, "results", "", "directory of the results; the default is docs/proof/results")
	flag.StringVar(&o.record, "record", "", "ID of the claim whose output is recorded from -log")
	flag.StringVar(&o.log, "log", "", "file with the output of a run")
	flag.StringVar(&o.commit, "commit", "", "commit of the run in -log")
	flag.StringVar(&o.date, "date", "", "day of the run in -log, for example 2026-01-31")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.main(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

type options struct{ root, run, results, record, log, commit, date string }

func (o options) main(ctx context.Context) error {
	dir := filepath.Join(o.root, "docs", "proof")
	if o.results == "" {
		o.results = filepath.Join(dir, "results")
	}
	sections, err := readClaims(filepath.Join(dir, "claims.yaml"))
	if err != nil {
		return err
	}
	switch {
	case o.record != "":
		return o.recordLog(sections)
	case o.run != "":
		return o.runAll(ctx, sections)
	}
	text, err := page(sections, o.results)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.root, "docs", "proof.md"), []byte(text), 0o644) //nolint:gosec // a document
}

// runAll runs the commands of claims. It records failed runs too, and continues.
func (o options) runAll(ctx context.Context, sections []section) error {
	if o.run == "all" {
		var ids []string
		for _, s := range sections {
			for _, c := range s.Claims {
				ids = append(ids, c.ID)
			}
		}
		o.run = strings.Join(ids, ",")
	}
	commit, err := cleanCommit(ctx, o.root)
	if err != nil {
		return err
	}
	var errs []error
	for id := range strings.SplitSeq(o.run, ",") {
		c, err := find(sections, id)
		if err != nil {
			return err
		}
		r, err := c.run(ctx, o.root)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		}
		if ctx.Err() != nil {
			break
		}
		if len(r.Lines) == 0 {
			continue
		}
		r.Commit = commit
		errs = append(errs, r.write(o.results, id))
	}
	return errors.Join(errs...)
}

// recordLog records a run that has taken place. Its exit status is not known: it failed if a line says so.
func (o options) recordLog(sections []section) error {
	c, err := find(sections, o.record)
	if err != nil {
		return err
	}
	if o.log == "" || o.commit == "" {
		return errors.New("-record needs -log, -commit and -date")
	}
	if _, err := time.Parse(time.DateOnly, o.date); err != nil {
		return fmt.Errorf("-date: %w; use for example 2026-01-31", err)
	}
	output, err := os.ReadFile(o.log)
	if err != nil {
		return err
	}
	r := result{Date: o.date, Commit: o.commit, Machine: machine()}
	if r.Lines, err = c.figures(string(output)); err != nil {
		return err
	}
	r.Passed = !strings.Contains(strings.Join(r.Lines, "\n"), "FAIL")
	return r.write(o.results, o.record)
}
