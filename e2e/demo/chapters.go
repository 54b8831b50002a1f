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
	// chapterLimit is the time limit of real processes that take up to a minute on an idle machine.
	chapterLimit = 5 * time.Minute
	// buildLimit is the time limit of a step that may download and compile.
	buildLimit = 30 * time.Minute
)

// chapter demonstrates one service. All chapters of a run share the control plane.
type chapter struct {
	name, title string
	// service is the directory in services/ whose programs are built, with additions.
	service   string
	additions []string
	namespace string
	// needs are the programs of a chapter that runs in a process of its own, see separate. It has no steps.
	needs []program
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
var all = []chapter{connectChapter, drainsChapter, volumesChapter, glusterChapter, quotaChapter}

// choose returns the chapters with the given names, or without names all chapters of this platform.
func choose(names []string) ([]chapter, error) {
	var chosen []chapter
	known := make([]string, len(all))
	for i, c := range all {
		known[i] = c.name
		if runs := !c.linux || runtime.GOOS == "linux"; len(names) == 0 && runs ||
			slices.Contains(names, c.name) {
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
	begin := []step{{"Build the services.", buildLimit, (*demo).build}}
	if slices.ContainsFunc(d.chapters, func(c chapter) bool { return len(c.needs) == 0 }) {
		begin = append(begin, step{
			"Start a Kubernetes control plane and three simulated nodes.", buildLimit, (*demo).startControlPlane,
		})
	}
	for _, s := range begin {
		if err := d.run(ctx, s); err != nil {
			return err
		}
	}
	d.prepareRecords(ctx)
	for _, c := range d.chapters {
		if err := d.playChapter(ctx, c); err != nil {
			return err
		}
	}
	d.printTimes()
	return d.finish(ctx)
}

func (d *demo) playChapter(ctx context.Context, c chapter) error {
	began := time.Now()
	d.namespace = c.namespace
	d.screen.line("")
	d.screen.line("%s", d.screen.paint(bold, fmt.Sprintf("Chapter %s: %s", c.name, c.title)))
	for _, line := range c.intro {
		d.explain("%s", line)
	}
	if len(c.needs) > 0 {
		return d.playSeparate(ctx, c)
	}
	for _, s := range c.steps {
		if err := d.run(ctx, s); err != nil {
			return err
		}
	}
	d.times = append(d.times, []string{c.name, since(began)})
	return d.printUsage(ctx, c)
}

// printTimes prints the time of each chapter, and of all.
func (d *demo) printTimes() {
	rows := [][]string{{"CHAPTER", "TIME"}}
	rows = append(rows, d.times...)
	d.rows(append(rows, []string{"all, after the build", since(d.built)}))
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
		c.service, total, metrics.Sum("weir_reconciles_total"), metrics.CPUSeconds(),
		metrics.Sum("process_resident_memory_bytes")/(1<<20))
	return nil
}

func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }
