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
	service []result
	// bare has the seconds of the bare client in each round.
	bare bench.Values
	// localPath and localPathTuned have the volumes per second of the model of local-path-provisioner in each round.
	localPath, localPathTuned bench.Values

	// writes, reconciles, waits and cpu are those of the service in the first round.
	writes                 map[string]float64
	reconciles, waits, cpu float64

	// empty, full, peak and settled are the resident memory of the controller in MiB without volumes, with many
	// volumes, at most, and after the idle measurement.
	empty, full, peak, settled float64
	many                       time.Duration
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
	}
	if r.full > 0 {
		r.printMany(p, o.with(o.many))
	}
	if r.agent.memory > 0 {
		r.printAgent(p, o)
	}
}

// printRounds prints every round, then the median and the spread of all rounds.
func (r *report) printRounds(p printer, o options) {
	p.row("\nTIME\tall PersistentVolumes exist\tall sets Ready")
	created, ready := bench.Values{}, bench.Values{}
	for i, s := range r.service {
		created, ready = append(created, s.created.Seconds()), append(ready, s.ready.Seconds())
		p.row("round %d, %s\t%.2f s\t%.2f s", i+1, service, s.created.Seconds(), s.ready.Seconds())
		if i < len(r.bare) {
			p.row("round %d, bare client\t%.2f s\t-", i+1, r.bare[i])
		}
	}
	p.row("\nMEDIAN (SMALLEST TO LARGEST)\tall PersistentVolumes exist\tall sets Ready")
	p.row("%s\t%s s\t%s s", service, created.Summary("%.2f"), ready.Summary("%.2f"))
	p.row("bare client\t%s s\t-", r.bare.Summary("%.2f"))
	// The bare client is done when all PersistentVolumes exist: both times of the service are compared with that.
	p.row("ratio of each round\t%s\t%s", bench.Ratios(created, r.bare).Summary("%.2f"),
		bench.Ratios(ready, r.bare).Summary("%.2f"))
	p.row("\nVOLUMES PER SECOND\tmedian (smallest to largest)")
	p.row("%s\t%s", service, rates(o.volumes(), created).Summary("%.0f"))
	p.row("bare client\t%s", rates(o.volumes(), r.bare).Summary("%.0f"))
	if len(r.localPath) > 0 {
		p.row("local-path-provisioner (model), default limits\t%s", r.localPath.Summary("%.2f"))
		p.row("local-path-provisioner (model), %d requests per second\t%s", qps, r.localPathTuned.Summary("%.2f"))
	}
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

func (r *report) printMany(p printer, o options) {
	p.row("\nTHE CONTROLLER WITH %d VOLUMES OF %d SETS ON %d NODES", o.volumes(), o.sets, o.nodes)
	p.row("all PersistentVolumes exist\t%.1f s (%.0f per second)", r.many.Seconds(), float64(o.volumes())/r.many.Seconds())
	p.row("resident memory without volumes\t%.0f MiB", r.empty)
	p.row("resident memory with all volumes\t%.0f MiB (peak %.0f MiB)", r.full, r.peak)
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
