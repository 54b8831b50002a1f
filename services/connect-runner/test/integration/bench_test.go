package integration

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

func benchmark(t *testing.T) {
	t.Helper()
	if os.Getenv("WEIR_BENCH") == "" {
		t.Skip("this is a benchmark; run make bench SERVICE=connect-runner")
	}
}

const (
	benchRecords = 1_000_000
	// A source without a rate limit fills the heap with records that are not yet acknowledged.
	benchHeap = "-Xmx1g"
)

// rate returns the records per second between a tenth and all of the records: without the start, and with a warm JVM.
func rate(t *testing.T, b *kafka.Cluster, topic string, records int64) float64 {
	t.Helper()
	eventually(t, 5*time.Minute, "records flow", func() bool { return b.Count(t, topic) >= records/10 })
	from, began := b.Count(t, topic), time.Now()
	eventually(t, 5*time.Minute, "all records are written", func() bool { return b.Count(t, topic) >= records })
	return float64(records-from) / time.Since(began).Seconds()
}

func TestBenchThroughputAgainstConnectStandalone(t *testing.T) {
	benchmark(t)
	b := sharedKafka(t)
	connector := func(topic string) map[string]string {
		return map[string]string{
			"connector.class": sequence, "topic": topic, "count": strconv.Itoa(benchRecords), "batch": "2000", "tasks.max": "1",
		}
	}
	var rates, baseline, processor, baselineProcessor bench.Values
	weir := func(round int) error {
		topic := b.CreateTopic(t, fmt.Sprintf("bench-weir-%d", round), 1)
		d := deploy(t, topic, connector(topic))
		d.runner.JVMOptions = []string{benchHeap}
		c := d.startConnector()
		c.ready()
		require.Zero(t, c.term())
		p := d.startTask(0)
		rates = append(rates, rate(t, b, topic, benchRecords))
		require.Zero(t, p.term())
		processor = append(processor, processorSeconds(p.cmd))
		return nil
	}
	standalone := func(round int) error {
		topic := b.CreateTopic(t, fmt.Sprintf("bench-standalone-%d", round), 1)
		cmd, stop := deploy(t, topic, connector(topic)).standalone()
		baseline = append(baseline, rate(t, b, topic, benchRecords))
		stop()
		baselineProcessor = append(baselineProcessor, processorSeconds(cmd))
		return nil
	}
	require.NoError(t, bench.Rounds(bench.MinRounds, weir, standalone))
	results.add("records/s of one source task", "", "%s", rates.Summary("%.0f"))
	results.add("records/s of the same task under connect-standalone", "", "%s", baseline.Summary("%.0f"))
	results.add("ratio", ">= 0.95", "%s", bench.Ratios(rates, baseline).Summary("%.2f"))
	results.add("CPU seconds, starts included", "", "%s", processor.Summary("%.1f"))
	results.add("CPU seconds under connect-standalone", "", "%s", baselineProcessor.Summary("%.1f"))
}

// processorSeconds returns the CPU time of a process that has ended. On a shared machine it is more precise than
// elapsed time.
func processorSeconds(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// standalone runs the connector under Kafka's own connect-standalone.
func (d *deployment) standalone() (cmd *exec.Cmd, stop func()) {
	d.t.Helper()
	worker := maps.Clone(d.worker)
	worker["offset.storage.file.filename"] = filepath.Join(d.dir, "offsets")
	worker["plugin.path"] = strings.Join(built.plugins, ",")
	worker["listeners"] = "http://127.0.0.1:0"
	worker["plugin.discovery"] = "service_load"
	connector := maps.Clone(d.connector)
	connector["name"] = d.name
	properties := func(m map[string]string) string {
		var out strings.Builder
		for key, value := range m {
			fmt.Fprintf(&out, "%s=%s\n", key, value)
		}
		return out.String()
	}
	logging := write(d.t, filepath.Join(d.dir, "log4j2.properties"), "status=ERROR\nrootLogger.level=WARN\n"+
		"rootLogger.appenderRef.console.ref=console\nappender.console.type=Console\nappender.console.name=console\n"+
		"appender.console.layout.type=PatternLayout\nappender.console.layout.pattern=%d %p %m (%c)%n\n")
	log, err := os.Create(filepath.Join(d.dir, "standalone.log"))
	require.NoError(d.t, err)
	cmd = exec.Command("java", benchHeap, "-Dlog4j2.configurationFile="+logging, "-cp", filepath.Join(built.lib, "*"),
		"org.apache.kafka.connect.cli.ConnectStandalone",
		write(d.t, filepath.Join(d.dir, "standalone.properties"), properties(worker)),
		write(d.t, filepath.Join(d.dir, "connector.properties"), properties(connector)))
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(d.t, process.Start(cmd))
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	}
	d.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			stop()
		}
		if output, err := os.ReadFile(log.Name()); err == nil && d.t.Failed() {
			d.t.Logf("log of connect-standalone:\n%s", output)
		}
	})
	return cmd, stop
}

func TestBenchStartAndRecovery(t *testing.T) {
	benchmark(t)
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "bench-start", 1)
	d := deploy(
		t,
		"bench-start",
		map[string]string{"connector.class": sequence, "topic": topic, "batch": "10", "pause.ms": "10"},
	)
	c := d.startConnector()
	c.ready()
	require.Zero(t, c.term())
	var starts, recoveries bench.Values
	var p *pod
	for range 10 {
		before := b.Count(t, topic)
		p = d.startTask(0)
		eventually(t, time.Minute, "the first record", func() bool { return b.Count(t, topic) > before })
		starts = append(starts, time.Since(p.started).Seconds())
		before = b.Count(t, topic)
		eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) > before+500 })
		p.kill()
		killed := time.Now()
		before = b.Count(t, topic)
		p = d.startTask(0)
		eventually(t, time.Minute, "records flow again", func() bool { return b.Count(t, topic) > before })
		recoveries = append(recoveries, time.Since(killed).Seconds())
		p.kill()
	}
	results.add("seconds from process start to the first record", "", "%s", starts.Summary("%.2f"))
	results.add("seconds from kill -9 to records flowing again, restarted at once", "p95 <= 15", "p95 %.2f; %s",
		recoveries.Percentile(95), recoveries.Summary("%.2f"))
}
