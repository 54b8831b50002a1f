package bench_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

func TestCostIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cost.json")
	want := bench.Cost{
		Objects: 200, Seconds: 40, CPUSeconds: 6, OtherCPUSeconds: 30, Requests: 9000, EmptyMiB: 35, MiB: 75,
	}
	require.NoError(t, want.Write(file))
	got, err := bench.ReadCost(file)
	require.NoError(t, err)
	require.Equal(t, want, got)
	var figures []float64
	for _, measure := range bench.Measures() {
		figures = append(figures, measure.Of(got))
	}
	require.Equal(t, []float64{200, 30, 150, 45, 204.8}, figures)
}

func TestCostOfABenchmarkThatMeasuredNothingIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cost.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, err := bench.ReadCost(file)
	require.ErrorContains(t, err, "the benchmark wrote")
}

func TestPrintedCostIsFoundInTheOutputOfATest(t *testing.T) {
	t.Parallel()
	want := bench.Cost{Objects: 200, Seconds: 40, CPUSeconds: 6, EmptyMiB: 35, MiB: 75}
	var output strings.Builder
	output.WriteString("=== RUN   TestScale")
	require.NoError(t, want.Print(&output))
	output.WriteString("--- PASS: TestScale (1.00s)\n")
	got, err := bench.FindCost(output.String())
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = bench.FindCost("--- SKIP: TestScale (0.00s)\n")
	require.ErrorContains(t, err, "printed no line")
}
