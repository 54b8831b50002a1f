package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// report collects all measurements.
type report struct {
	service, bare []result
	// localPath and localPathTuned have the volumes per second of the model of local-path-provisioner in each round.
	localPath, localPathTuned bench.Values

	// writes, reconciles, waits and cpu are those of the service in the first round.
	writes                 map[string]float64
	reconciles, waits, cpu float64
	// load is that of the API server in the first round, and bareLoad that in the last one of the bare client.
	load, bareLoad load

	// empty, full, peak and settled are the resident memory of the controller in MiB without volumes, with many
	// volumes, at most, and after the idle measurement.
	empty, full, peak, settled float64
	many, manyReady            time.Duration
	manyCreated                int
	idle                       usage

	agent struct {
		directories  int
		prepared     time.Duration
		memory, peak float64
		idle         usage
	}
}

// printer prints rows of tab-separated cells.
type printer struct{ w *tabwriter.Writer }

func (p printer) row(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (r *report) print(out io.Writer, o options) {
	p := printer{tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	defer p.w.Flush()
	if len(r.service) > 0 {
		p.row("\n%d volumes of %d sets on %d nodes; the agents are models that report each directory as ready",
			o.volumes(), o.sets, o.nodes)
		r.printRounds(p, o)
		r.printWrites(p, o)
		r.printLoad(p, o)
	}
	if r.full > 0 {
		r.printMany(p, o.with(o.many))
	}
	if r.agent.memory > 0 {
		r.printAgent(p, o)
	}
}

// printRounds prints every round, then the median and the spread of all rounds. A bare client can be done before the
// binder: all PersistentVolumes exist, and few can be used yet.
func (r *report) printRounds(p printer, o options) {
	p.row("\nTIME\tall PersistentVolumes exist\tall are Available\tall sets Ready")
	for i, s := range r.service {
		p.row("round %d, %s\t%.2f s\t%.2f s\t%.2f s", i+1, service, s.created.Seconds(), s.available.Seconds(),
			s.ready.Seconds())
		if i < len(r.bare) {
			p.row("round %d, bare client\t%.2f s\t%.2f s\t-", i+1, r.bare[i].created.Seconds(),
				r.bare[i].available.Seconds())
		}
	}
	created := func(t result) time.Duration { return t.created }
	available := func(t result) time.Duration { return t.available }
	ready := seconds(r.service, func(t result) time.Duration { return t.ready })
	p.row("\nMEDIAN (SMALLEST TO LARGEST)\tall PersistentVolumes exist\tall are Available\tall sets Ready")
	p.row("%s\t%s s\t%s s\t%s s", service, seconds(r.service, created).Summary("%.2f"),
		seconds(r.service, available).Summary("%.2f"), ready.Summary("%.2f"))
	p.row("bare client\t%s s\t%s s\t-", seconds(r.bare, created).Summary("%.2f"),
		seconds(r.bare, available).Summary("%.2f"))
	// A set is Ready when its PersistentVolumes are Available.
	p.row("ratio of each round\t%s\t%s\t%s",
		bench.Ratios(seconds(r.service, created), seconds(r.bare, created)).Summary("%.2f"),
		bench.Ratios(seconds(r.service, available), seconds(r.bare, available)).Summary("%.2f"),
		bench.Ratios(ready, seconds(r.bare, available)).Summary("%.2f"))
	p.row("\nVOLUMES PER SECOND\tmedian (smallest to largest)")
	p.row("%s\t%s", service, rates(o.volumes(), seconds(r.service, created)).Summary("%.0f"))
	p.row("bare client\t%s", rates(o.volumes(), seconds(r.bare, created)).Summary("%.0f"))
	if len(r.localPath) > 0 {
		p.row("local-path-provisioner (model), default limits\t%s", r.localPath.Summary("%.2f"))
		p.row("local-path-provisioner (model), %d requests per second\t%s", qps, r.localPathTuned.Summary("%.2f"))
	}
}

// seconds returns one of the times of each round.
func seconds(rounds []result, of func(result) time.Duration) bench.Values {
	values := bench.Values{}
	for _, round := range rounds {
		values = append(values, of(round).Seconds())
	}
	return values
}

// rates returns n per second for each duration in seconds.
func rates(n int, seconds bench.Values) bench.Values {
	values := bench.Values{}
	for _, s := range seconds {
		values = append(values, float64(n)/s)
	}
	return values
}

func (r *report) printWrites(p printer, o options) {
	n := float64(o.volumes())
	p.row("\nAPI WRITES OF THE CONTROLLER IN ROUND 1\tper volume\ttotal")
	for _, kind := range sorted(r.writes) {
		if r.writes[kind] > 0 {
			p.row("%s\t%.2f\t%.0f", kind, r.writes[kind]/n, r.writes[kind])
		}
	}
	p.row("all\t%.2f\t%.0f", total(r.writes)/n, total(r.writes))
	p.row("reconciles\t%.2f\t%.0f", r.reconciles/n, r.reconciles)
	p.row("reconciles delayed until the caches had observed own writes\t%.2f\t%.0f", r.waits/n, r.waits)
	p.row("CPU\t%.1f ms\t%.1f s", 1000*r.cpu/n, r.cpu)
}

// printLoad prints what depends little on the other work of the machine.
func (r *report) printLoad(p printer, o options) {
	n := float64(o.volumes())
	p.row("\nAPI REQUESTS OF ALL CLIENTS PER VOLUME\t%s\tbare client", service)
	kinds := maps.Clone(r.load.requests)
	for kind, requests := range r.bareLoad.requests {
		kinds[kind] = max(kinds[kind], requests)
	}
	for _, kind := range sorted(kinds) {
		if kinds[kind]/n >= 0.005 {
			p.row("%s\t%.3f\t%.3f", kind, r.load.requests[kind]/n, r.bareLoad.requests[kind]/n)
		}
	}
	all, bare := total(r.load.requests)/n, total(r.bareLoad.requests)/n
	p.row("all\t%.3f\t%.3f", all, bare)
	p.row("CPU of the API server\t%.2f ms\t%.2f ms", 1000*r.load.cpu/n, 1000*r.bareLoad.cpu/n)
	if bare > 0 && r.bareLoad.cpu > 0 {
		p.row("ratio of requests, of CPU\t%.2f, %.2f", all/bare, r.load.cpu/r.bareLoad.cpu)
	}
}

func (r *report) printMany(p printer, o options) {
	p.row("\nTHE CONTROLLER WITH %d VOLUMES OF %d SETS ON %d NODES", o.volumes(), o.sets, o.nodes)
	if r.many > 0 {
		p.row("all PersistentVolumes exist\t%.1f s (%.0f per second)", r.many.Seconds(),
			float64(o.volumes())/r.many.Seconds())
		p.row("all sets Ready\t%.1f s", r.manyReady.Seconds())
	} else {
		p.row("stopped after %s with\t%d PersistentVolumes", o.manyLimit, r.manyCreated)
	}
	p.row("resident memory without volumes\t%.0f MiB", r.empty)
	p.row("resident memory with these volumes\t%.0f MiB (peak %.0f MiB)", r.full, r.peak)
	if r.many == 0 {
		return
	}
	p.row("resident memory after %s without changes\t%.0f MiB", o.idle, r.settled)
	r.idle.rows(p, o)
}

func (r *report) printAgent(p printer, o options) {
	a := r.agent
	p.row("\nA REAL AGENT WITH %d DIRECTORIES ON THIS MACHINE", a.directories)
	p.row("all directories created, all sets Ready\t%.1f s", a.prepared.Seconds())
	p.row("resident memory\t%.0f MiB (peak %.0f MiB)", a.memory, a.peak)
	a.idle.rows(p, o)
}

func (u usage) rows(p printer, o options) {
	p.row("CPU in %s without changes\t%.2f s (%.2f%% of a core)", o.idle, u.cpu, 100*u.cpu/o.idle.Seconds())
	p.row("API writes\t%.0f (and %.0f lease renewals)", u.writes, u.renewals)
	p.row("reconciles\t%.0f", u.reconciles)
}

// sorted returns the keys of m, the largest value first.
func sorted[V cmp.Ordered](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
}
