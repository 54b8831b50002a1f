package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

var measured = series{
	subject: subject{service: "connect-scheduler", objects: "KafkaConnectors"},
	costs: []bench.Cost{
		{Objects: 100, Seconds: 20, CPUSeconds: 3, OtherCPUSeconds: 10, Requests: 4500, EmptyMiB: 35, MiB: 55},
		{Objects: 1000, Seconds: 300, CPUSeconds: 30, OtherCPUSeconds: 110, Requests: 45000, EmptyMiB: 35, MiB: 235},
	},
}

func TestFiguresPerObjectAreComparedBetweenTheSizes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	measured.print(&out)
	require.Equal(t, `
CONNECT-SCHEDULER: KafkaConnectors     100     1000    largest divided by smallest
time, ms per object                    200.0   300.0   1.50
CPU, ms per object                     30.0    30.0    1.00
CPU of other programs, ms per object   100.0   110.0   1.10
API requests per object                45.0    45.0    1.00
memory, KiB per object                 204.8   204.8   1.00
`, out.String())
}

func TestFiguresThatAServiceDoesNotHaveAreLeftOut(t *testing.T) {
	t.Parallel()
	quotad := series{subject: subject{service: "quotad", objects: "directories"}, costs: []bench.Cost{
		{Objects: 100, Seconds: 1, CPUSeconds: 1, EmptyMiB: 20, MiB: 21},
		{Objects: 1000, Seconds: 20, CPUSeconds: 10, EmptyMiB: 20, MiB: 25},
	}}
	var out strings.Builder
	quotad.print(&out)
	require.Equal(t, `
QUOTAD: directories      100    1000   largest divided by smallest
time, ms per object      10.0   20.0   2.00
CPU, ms per object       10.0   10.0   1.00
memory, KiB per object   10.2   5.1    0.50
`, out.String())
	require.NoError(t, write(t.TempDir(), []series{quotad}))
}

func TestFigureThatIsNotPositiveHasNoGrowth(t *testing.T) {
	t.Parallel()
	bridge := series{subject: subject{service: "gluster-bridge", objects: "GlusterVolumes"}, costs: []bench.Cost{
		{Objects: 100, Seconds: 1, EmptyMiB: 70, MiB: 65},
		{Objects: 1000, Seconds: 20, EmptyMiB: 70, MiB: 75},
	}}
	var out strings.Builder
	bridge.print(&out)
	require.Equal(t, `
GLUSTER-BRIDGE: GlusterVolumes   100     1000   largest divided by smallest
time, ms per object              10.0    20.0   2.00
memory, KiB per object           -51.2   5.1    -
`, out.String())
	require.NoError(t, write(t.TempDir(), []series{bridge}))
}

func TestReportHasATableAndAPlotPerService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, write(dir, []series{measured}))
	report, err := os.ReadFile(filepath.Join(dir, "report.md"))
	require.NoError(t, err)
	require.Contains(t, string(report), "| time, ms per object | 200.0 | 300.0 | 1.50 |")
	plot, err := os.ReadFile(filepath.Join(dir, "connect-scheduler.svg"))
	require.NoError(t, err)
	require.Contains(t, string(plot), "<svg")
}

func TestSizesMustBeAscendingNumbers(t *testing.T) {
	t.Parallel()
	for list, problem := range map[string]string{
		"100,300": "", "100": "at least two", "300,100": "ascending", "100,x": `"x" is not a positive number`, "0,1": `"0"`,
	} {
		_, err := parse(list)
		if problem == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, problem)
		}
	}
}
