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

// side is the result of the service or of the bare client in one round.
type side struct {
	// converged is the time until every connector is Ready. podsReady is the time until all pods are Ready.
	converged, podsReady time.Duration
	// started is the time until the last StatefulSet of a connector was created, in whole seconds.
	started time.Duration
	cpu     map[string]time.Duration
	// requests counts the API requests of all clients by verb and resource.
	requests map[string]float64
}

// report collects all measurements.
type report struct {
	// service and bare hold one side per round.
	service, bare    []side
	converging, idle counts
	// empty, full and peak are the resident memory of the service in MiB without connectors, with all connectors,
	// and at most.
	empty, full, peak float64
	changes           []change
	// latencies are the seconds from each task failure to the status.
	latencies bench.Values
}

// printer prints rows of tab-separated cells.
type printer struct{ w *tabwriter.Writer }

func (p printer) row(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (r *report) print(out io.Writer, o options) {
	p := printer{tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	defer p.w.Flush()
	p.row("\n%d connectors with %d tasks each (%d pods) in %d namespaces; %d workers, %d requests per second",
		o.connectors, o.tasks, o.pods(), o.namespaces, o.workers, o.qps)
	r.printRounds(p)
	r.printRequests(p, o)
	r.printService(p, o)
}

// printRounds prints every round, then the median and the spread of all rounds.
func (r *report) printRounds(p printer) {
	const columns = "all connectors Ready\tall pods Ready\tCPU of all processes\tStatefulSets of all connectors"
	p.row("\nTIME TO CONVERGE\t" + columns)
	for i, s := range r.service {
		p.row("round %d, %s\t%.1f s\t%.1f s\t%.1f s\t%.0f s", i+1, service, s.converged.Seconds(), s.podsReady.Seconds(),
			bench.Total(s.cpu).Seconds(), s.started.Seconds())
		if i < len(r.bare) {
			b := r.bare[i]
			p.row("round %d, bare client\t-\t%.1f s\t%.1f s\t%.0f s", i+1, b.podsReady.Seconds(), bench.Total(b.cpu).Seconds(),
				b.started.Seconds())
		}
	}
	p.row("\nMEDIAN (SMALLEST TO LARGEST)\t" + columns)
	converged, podsReady, cpu, started := values(r.service)
	_, barePodsReady, bareCPU, bareStarted := values(r.bare)
	p.row("%s\t%s s\t%s s\t%s s\t%s s", service, converged.Summary("%.1f"), podsReady.Summary("%.1f"), cpu.Summary("%.1f"),
		started.Summary("%.0f"))
	p.row("bare client\t-\t%s s\t%s s\t%s s", barePodsReady.Summary("%.1f"), bareCPU.Summary("%.1f"),
		bareStarted.Summary("%.0f"))
	// The bare client is done when all pods are Ready: both times of the service are compared with that.
	p.row("ratio of each round\t%s\t%s\t%s", bench.Ratios(converged, barePodsReady).Summary("%.2f"),
		bench.Ratios(podsReady, barePodsReady).Summary("%.2f"), bench.Ratios(cpu, bareCPU).Summary("%.2f"))
}

func values(sides []side) (converged, podsReady, cpu, started bench.Values) {
	for _, s := range sides {
		converged = append(converged, s.converged.Seconds())
		podsReady = append(podsReady, s.podsReady.Seconds())
		cpu = append(cpu, bench.Total(s.cpu).Seconds())
		started = append(started, s.started.Seconds())
	}
	return converged, podsReady, cpu, started
}

// printRequests prints the CPU time by process and the API requests by kind. Unlike times they hardly depend on what
// else the machine does.
func (r *report) printRequests(p printer, o options) {
	n := float64(o.connectors)
	p.row("\nCPU PER CONNECTOR, MEDIAN\t%s\tbare client", service)
	cpu, bareCPU := medianCPU(r.service), medianCPU(r.bare)
	for _, program := range sorted(cpu) {
		if max(cpu[program], bareCPU[program])/n >= 0.0001 {
			p.row("%s\t%.1f ms\t%.1f ms", program, 1000*cpu[program]/n, 1000*bareCPU[program]/n)
		}
	}
	p.row("\nAPI REQUESTS OF ALL CLIENTS PER CONNECTOR, MEDIAN\t%s\tbare client", service)
	requests, bareRequests := medianRequests(r.service), medianRequests(r.bare)
	sum, bareSum := 0.0, 0.0
	for _, kind := range sorted(greater(requests, bareRequests)) {
		sum, bareSum = sum+requests[kind], bareSum+bareRequests[kind]
		if max(requests[kind], bareRequests[kind]) > n/4 {
			p.row("%s\t%.2f\t%.2f", kind, requests[kind]/n, bareRequests[kind]/n)
		}
	}
	p.row("all\t%.2f\t%.2f", sum/n, bareSum/n)
}

// medianCPU returns the CPU seconds of each program, as the median of all rounds.
func medianCPU(sides []side) map[string]float64 {
	return medians(sides, func(s side) map[string]float64 {
		seconds := map[string]float64{}
		for program, d := range s.cpu {
			seconds[program] = d.Seconds()
		}
		return seconds
	})
}

func medianRequests(sides []side) map[string]float64 {
	return medians(sides, func(s side) map[string]float64 { return s.requests })
}

// medians returns the median of each number of all rounds. A number that a round does not have is 0.
func medians(sides []side, of func(side) map[string]float64) map[string]float64 {
	names := map[string]float64{}
	for _, s := range sides {
		names = greater(names, of(s))
	}
	for name := range names {
		var all bench.Values
		for _, s := range sides {
			all = append(all, of(s)[name])
		}
		names[name] = all.Median()
	}
	return names
}

// greater returns the greater number for each name in a or b.
func greater(a, b map[string]float64) map[string]float64 {
	all := maps.Clone(a)
	for name, n := range b {
		all[name] = max(all[name], n)
	}
	return all
}

// printService prints what only the service does; it is measured in round 1.
func (r *report) printService(p printer, o options) {
	n := float64(o.connectors)
	p.row("\nAPI WRITES\tper connector\ttotal")
	for _, kind := range sorted(r.converging.writes) {
		p.row("%s\t%.2f\t%.0f", kind, r.converging.writes[kind]/n, r.converging.writes[kind])
	}
	p.row("all\t%.2f\t%.0f", r.converging.totalWrites()/n, r.converging.totalWrites())
	p.row("reconciles\t%.2f\t%.0f", r.converging.reconciles/n, r.converging.reconciles)
	p.row(
		"reconciles delayed until the caches had observed own writes\t%.2f\t%.0f",
		r.converging.waits/n,
		r.converging.waits,
	)

	p.row("\nTHE SERVICE")
	p.row("resident memory with 0 connectors\t%.0f MiB", r.empty)
	p.row("resident memory with %d connectors\t%.0f MiB (peak %.0f MiB)", o.connectors, r.full, r.peak)
	p.row("CPU while converging\t%.1f s (%.1f ms per connector)", r.converging.cpu, 1000*r.converging.cpu/n)

	p.row("\nIDLE FOR %s", o.idle)
	p.row("API writes\t%.0f (and %.0f lease renewals)", r.idle.totalWrites(), r.idle.renewals)
	p.row("reconciles\t%.0f", r.idle.reconciles)
	p.row("CPU\t%.2f s", r.idle.cpu)

	p.row("\nONE CONNECTOR OF %d\ttime\tAPI writes\trestarted pods of other connectors", o.connectors)
	for _, c := range r.changes {
		p.row("%s\t%.2f s\t%.0f\t%d", c.name, c.took.Seconds(), c.writes, c.others)
	}

	if len(r.latencies) > 0 {
		p.row("\nTASK FAILURE TO STATUS\t%d failures", len(r.latencies))
		for _, percentile := range []float64{50, 99, 100} {
			p.row("p%.0f\t%.0f ms", percentile, 1000*r.latencies.Percentile(percentile))
		}
	}
}

// sorted returns the keys of m, the largest value first.
func sorted[V cmp.Ordered](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
}
