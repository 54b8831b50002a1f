package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// side is what one side of the comparison took.
type side struct {
	// converged is until all is as it should be; podsReady until all pods are Ready.
	converged, podsReady time.Duration
	cpu                  map[string]time.Duration
	// requests are what all clients asked of the API server.
	requests map[string]float64
}

// report is all that was measured.
type report struct {
	rounds            [][2]side
	converging, quiet counts
	empty, full, peak float64
	touched           []touched
	latencies         []time.Duration
}

func (r *report) print(out io.Writer, o options) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	row := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	n := float64(o.connectors)

	row("\n%d connectors of %d tasks, %d pods, in %d namespaces; %d workers, %d requests a second\n", o.connectors, o.tasks, o.pods(), o.namespaces, o.workers, o.qps)
	row("TIME TO CONVERGE\tall Ready\tall pods Ready\tCPU of all processes")
	var times, costs []float64
	for i, round := range r.rounds {
		row("round %d, %s\t%.1f s\t%.1f s\t%.1f s", i+1, service, round[0].converged.Seconds(), round[0].podsReady.Seconds(), total(round[0].cpu).Seconds())
		if round[1].podsReady == 0 {
			continue // it did not get that far
		}
		row("round %d, bare client\t-\t%.1f s\t%.1f s", i+1, round[1].podsReady.Seconds(), total(round[1].cpu).Seconds())
		times = append(times, ratio(round[0].converged, round[1].converged))
		costs = append(costs, ratio(total(round[0].cpu), total(round[1].cpu)))
	}
	if len(times) > 0 {
		row("ratio (median)\t%.2f\t\t%.2f", median(times), median(costs))
	}

	row("\nCPU IN ROUND 1\t%s\tbare client", service)
	first := r.rounds[0]
	for _, program := range sorted(first[0].cpu) {
		if max(first[0].cpu[program], first[1].cpu[program]) < time.Second/20 {
			continue
		}
		row("%s\t%.1f s\t%.1f s", program, first[0].cpu[program].Seconds(), first[1].cpu[program].Seconds())
	}

	row("\nREQUESTS OF ALL CLIENTS IN ROUND 1, PER CONNECTOR\t%s\tbare client", service)
	for _, what := range sorted(first[0].requests) {
		if most := max(first[0].requests[what], first[1].requests[what]); most > n/2 {
			row("%s\t%.2f\t%.2f", what, first[0].requests[what]/n, first[1].requests[what]/n)
		}
	}

	row("\nAPI WRITES\tper connector\tin all")
	for _, what := range sorted(r.converging.writes) {
		row("%s\t%.2f\t%.0f", what, r.converging.writes[what]/n, r.converging.writes[what])
	}
	row("all\t%.2f\t%.0f", r.converging.written()/n, r.converging.written())
	row("reconciles\t%.2f\t%.0f", r.converging.reconciles/n, r.converging.reconciles)
	row("put off until caches had seen own writes\t%.2f\t%.0f", r.converging.waits/n, r.converging.waits)

	row("\nTHE SERVICE ITSELF")
	row("resident memory with 0 connectors\t%.0f MiB", r.empty)
	row("resident memory with %d connectors\t%.0f MiB (peak %.0f MiB)", o.connectors, r.full, r.peak)
	row("CPU while converging\t%.1f s (%.1f ms per connector)", r.converging.cpu, 1000*r.converging.cpu/n)

	row("\nNOTHING HAPPENS FOR %s", o.idle)
	row("API writes\t%.0f (and %.0f renewals of the lease)", r.quiet.written(), r.quiet.renewals)
	row("reconciles\t%.0f", r.quiet.reconciles)
	row("CPU\t%.2f s", r.quiet.cpu)

	row("\nONE OF %d\ttook\tAPI writes\tpods of others restarted", o.connectors)
	for _, t := range r.touched {
		row("%s\t%.2f s\t%.0f\t%d", t.what, t.took.Seconds(), t.writes, t.others)
	}

	if len(r.latencies) > 0 {
		row("\nFROM A TASK'S FAILURE TO THE STATUS\t%d failures", len(r.latencies))
		row("p50\t%d ms", percentile(r.latencies, 50).Milliseconds())
		row("p99\t%d ms", percentile(r.latencies, 99).Milliseconds())
		row("longest\t%d ms", percentile(r.latencies, 100).Milliseconds())
	}
}

// sorted are the keys of m, the greatest value first.
func sorted[V cmp.Ordered](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// percentile of sorted durations.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
