package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// growth returns the figure of the largest size divided by that of the smallest. It returns a dash if a figure is not
// positive: a process with few objects can need less memory than before it had any.
func (s series) growth(m bench.Measure) string {
	if !s.isPositive(m) {
		return "-"
	}
	return strconv.FormatFloat(m.Of(s.costs[len(s.costs)-1])/m.Of(s.costs[0]), 'f', 2, 64)
}

func (s series) isPositive(m bench.Measure) bool {
	return !slices.ContainsFunc(s.costs, func(cost bench.Cost) bool { return m.Of(cost) <= 0 })
}

// measures returns the figures that the service has: quotad makes no API request without a cluster.
func (s series) measures() []bench.Measure {
	return slices.DeleteFunc(bench.Measures(), func(m bench.Measure) bool {
		return slices.ContainsFunc(s.costs, func(cost bench.Cost) bool { return m.Of(cost) == 0 })
	})
}

// print prints the figures of a series.
func (s series) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "\n%s: %s", strings.ToUpper(s.service), s.objects)
	for _, cost := range s.costs {
		fmt.Fprintf(w, "\t%d", cost.Objects)
	}
	fmt.Fprint(w, "\tlargest divided by smallest\n")
	for _, m := range s.measures() {
		fmt.Fprint(w, m.Name)
		for _, cost := range s.costs {
			fmt.Fprintf(w, "\t%.1f", m.Of(cost))
		}
		fmt.Fprintf(w, "\t%s\n", s.growth(m))
	}
}

// write writes report.md and one plot per service.
func write(dir string, all []series) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# How the cost of the services grows\n\n"+
		"`make bench-scale BENCHFLAGS=-out=DIRECTORY` wrote this page on %s. Each column is one run on a fresh control "+
		"plane.\nA figure per object that does not change means that the cost grows in proportion to the number of "+
		"objects.\n", time.Now().UTC().Format(time.DateOnly))
	for _, s := range all {
		fmt.Fprintf(&text, "\n## %s\n\n![cost per object](%s.svg)\n\n| %s |", s.service, s.service, s.objects)
		for _, cost := range s.costs {
			fmt.Fprintf(&text, " %d |", cost.Objects)
		}
		fmt.Fprintf(&text, " largest / smallest |\n|---|%s\n", strings.Repeat("---|", len(s.costs)+1))
		for _, m := range s.measures() {
			fmt.Fprintf(&text, "| %s |", m.Name)
			for _, cost := range s.costs {
				fmt.Fprintf(&text, " %.1f |", m.Of(cost))
			}
			fmt.Fprintf(&text, " %s |\n", s.growth(m))
		}
		if err := s.plot(filepath.Join(dir, s.service+".svg")); err != nil {
			return fmt.Errorf("plot %s: %w", s.service, err)
		}
	}
	return os.WriteFile(filepath.Join(dir, "report.md"), []byte(text.String()), 0o600)
}

// ticks marks the sizes.
func (s series) ticks() plot.ConstantTicks {
	ticks := make(plot.ConstantTicks, len(s.costs))
	for i, cost := range s.costs {
		ticks[i] = plot.Tick{Value: float64(cost.Objects), Label: strconv.Itoa(cost.Objects)}
	}
	return ticks
}

// plot draws each figure relative to the smallest size, so that one axis serves all.
func (s series) plot(file string) error {
	p := plot.New()
	p.Title.Text = s.service
	p.X.Label.Text, p.Y.Label.Text = s.objects, fmt.Sprintf("cost per object, 1 = with %d", s.costs[0].Objects)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, s.ticks()
	// The lines start at 1, so that there is space for the legend below.
	p.Y.Min, p.Legend.Left = 0, true
	for i, m := range s.measures() {
		if !s.isPositive(m) {
			continue
		}
		points := make(plotter.XYs, len(s.costs))
		for j, cost := range s.costs {
			points[j].X, points[j].Y = float64(cost.Objects), m.Of(cost)/m.Of(s.costs[0])
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(m.Name, ",")
		line.Color, dots.Color = plotutil.Color(i), plotutil.Color(i)
		p.Add(line, dots)
		p.Legend.Add(strings.TrimSuffix(name, " per object"), line, dots)
		p.Y.Max = max(p.Y.Max, 1.2)
	}
	// The label of the largest size needs space on its right.
	p.X.Max *= 1.2
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, file)
}
