package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write writes files into a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMetricsAreFoundWithTypeLabelsAndHelp(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"metrics.go": `package metrics

const subsystem = "pond"

var fish = prometheus.NewDesc("weir_fish", "Fish by kind.", []string{"kind"}, nil)

func register(r prometheus.Registerer, name string) {
	make := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"controller": name}, r))
	make.NewCounterVec(prometheus.CounterOpts{Namespace: "weir", Subsystem: subsystem, Name: "bites_total",
		Help: "Bites, " + "by hook."}, []string{"hook"})
	count(r, "weir_eggs_total", "Eggs.")
	make.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_depth", Help: "Depth."}, depth)
}

func count(r prometheus.Registerer, name, help string) {
	r.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

func other(r prometheus.Registerer) {
	labels := prometheus.Labels{"lake": "one"}
	r.MustRegister(prometheus.NewHistogram(prometheus.HistogramOpts{Name: "weir_size", ConstLabels: labels,
		Help: "Size."}))
}
`})
	found, err := metricsIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range found {
		got = append(got, strings.Join([]string{m.name, m.kind, strings.Join(m.labels, ","), m.help}, "|"))
	}
	want := []string{
		"weir_fish|gauge|kind|Fish by kind.",
		"weir_pond_bites_total|counter|controller,hook|Bites, by hook.",
		"weir_depth|gauge|controller|Depth.",
		"weir_eggs_total|counter||Eggs.",
		"weir_size|histogram|lake|Size.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAMetricWithoutAHelpTextIsAnError(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"metrics.go": "package metrics\n\nvar fish = prometheus.NewCounter(prometheus.CounterOpts{Name: \"weir_fish\"})\n",
	})
	if _, err := metricsIn(dir); err == nil || !strings.Contains(err.Error(), "metrics.go:3") {
		t.Errorf("error is %v", err)
	}
}

func TestAnAlertOnAnUnknownMetricIsAnError(t *testing.T) {
	t.Parallel()
	root := write(t, map[string]string{"deploy/alerts/fish.yaml": "expr: rate(weir_size_bucket[5m]) > weir_gone\n"})
	err := checkUses(root, map[string]bool{"weir_size": true})
	if err == nil || !strings.Contains(err.Error(), "weir_gone") || strings.Contains(err.Error(), "weir_size") {
		t.Errorf("error is %v", err)
	}
}

func TestReasonsAreListedByGroup(t *testing.T) {
	t.Parallel()
	root := write(t, map[string]string{"apis/pond/v1/conditions.go": `package v1

// Reasons of the condition Ready. They are stable.
const (
	// ReasonFull: the pond is full.
	ReasonFull Reason = "Full"
	// ReasonEmpty means that no
	// fish is left.
	ReasonEmpty = "Empty"
	hidden = "Hidden"
)

// Names of labels.
const (
	Label = "fish"
)
`})
	page, err := reasonsPage(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "\n## apis/pond/v1\n\n### Reasons of the condition Ready\n\n| value | meaning |\n| --- | --- |\n" +
		"| `Full` | The pond is full. |\n| `Empty` | No fish is left. |\n"
	if !strings.HasSuffix(page, want) {
		t.Errorf("got\n%s\nwant the end\n%s", page, want)
	}
}

func TestAReasonWithoutACommentIsAnError(t *testing.T) {
	t.Parallel()
	root := write(t, map[string]string{
		"apis/pond/v1/conditions.go": "package v1\n\n// Reasons of the condition Ready.\n" +
			"const (\n\tReasonFull = \"Full\"\n)\n",
	})
	if _, err := reasonsPage(root, nil); err == nil || !strings.Contains(err.Error(), "ReasonFull has no comment") {
		t.Errorf("error is %v", err)
	}
}
