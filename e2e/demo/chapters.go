package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const (
	// stepLimit is the time limit of a step that takes a second or two on an idle machine.
	stepLimit = time.Minute
	// buildLimit is the time limit of a step that may download and compile.
	buildLimit = 30 * time.Minute
)

// chapter demonstrates one service. All chapters of a run share the control plane.
type chapter struct {
	name, title string
	// service is the directory in services/ whose programs are built.
	service   string
	namespace string
	// linux is set if the chapter needs Linux.
	linux bool
	intro []string
	steps []step
	// usage returns the service whose usage is printed at the end.
	usage func(*demo) *env.Service
	// explore returns commands to explore the result.
	explore func(*demo) []string
}

// step is one step with its time limit.
type step struct {
	title string
	limit time.Duration
	act   func(*demo, context.Context) error
}

// all lists the chapters in their order.
var all = []chapter{connectChapter, volumesChapter}

// choose returns the chapters with the given names, or all chapters of this platform if there are no names.
func choose(names []string) ([]chapter, error) {
	var chosen []chapter
	known := make([]string, len(all))
	for i, c := range all {
		known[i] = c.name
		if runs := !c.linux || runtime.GOOS == "linux"; len(names) == 0 && runs || slices.Contains(names, c.name) {
			if !runs {
				return nil, fmt.Errorf("chapter %s needs Linux; this is %s", c.name, runtime.GOOS)
			}
			chosen = append(chosen, c)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown chapter %q; the chapters are: %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// play runs all steps of the chapters.
func (d *demo) play(ctx context.Context) error {
	d.screen.line("%s", d.screen.paint(bold, "Weir demo"))
	d.explain("This demo uses a real Kubernetes %s control plane. The nodes are simulated: no containers run.",
		binaries.KubernetesVersion)
	for _, s := range []step{
		{"Build the services.", buildLimit, (*demo).build},
		{"Start a Kubernetes control plane and three simulated nodes.", buildLimit, (*demo).startControlPlane},
	} {
		if err := d.run(ctx, s); err != nil {
			return err
		}
	}
	for _, c := range d.chapters {
		d.namespace = c.namespace
		d.screen.line("")
		d.screen.line("%s", d.screen.paint(bold, fmt.Sprintf("Chapter %s: %s", c.name, c.title)))
		for _, line := range c.intro {
			d.explain("%s", line)
		}
		for _, s := range c.steps {
			if err := d.run(ctx, s); err != nil {
				return err
			}
		}
		if err := d.printUsage(ctx, c); err != nil {
			return err
		}
	}
	return d.finish(ctx)
}

func (d *demo) run(ctx context.Context, s step) error {
	return d.do(ctx, s.title, s.limit, func(ctx context.Context) error { return s.act(d, ctx) })
}

// printUsage prints what the service of a chapter used for all steps.
func (d *demo) printUsage(ctx context.Context, c chapter) error {
	metrics, err := c.usage(d).Metrics(ctx)
	if err != nil {
		return err
	}
	writes, _ := metrics.Writes()
	total := 0.0
	for _, n := range writes {
		total += n
	}
	d.screen.line("")
	d.screen.line("%s used %.0f API writes, %.0f reconciles, %.1f s of CPU and %.0f MiB of memory for all steps.",
		c.service, total, metrics.Sum("weir_reconciles_total"), metrics.Sum("process_cpu_seconds_total"),
		metrics.Sum("process_resident_memory_bytes")/(1<<20))
	return nil
}

func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }
