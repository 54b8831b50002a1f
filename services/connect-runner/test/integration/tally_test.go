package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-dev/weir/apis/contract"
)

// rounds returns the number of SIGTERMs and of SIGKILLs: 2 in tests, 100 with WEIR_BENCH, or the value of WEIR_TALLY.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("WEIR_TALLY")); err == nil {
		return n
	}
	if os.Getenv("WEIR_BENCH") != "" {
		return 100
	}
	return 2
}

// counts counts the occurrences of each number of each task.
type counts [][]uint8

func (c counts) see(value string) {
	task, number, _ := strings.Cut(value, "-")
	i, _ := strconv.Atoi(task)
	n, _ := strconv.Atoi(number)
	for len(c[i]) <= n {
		c[i] = append(c[i], 0)
	}
	c[i][n]++
}

// tally returns the number of distinct numbers, of missing numbers below the highest, and of duplicates.
func (c counts) tally() (seen, lost, twice int) {
	for _, numbers := range c {
		for _, n := range numbers {
			seen += min(1, int(n))
			twice += max(0, int(n)-1)
			if n == 0 {
				lost++
			}
		}
	}
	return seen, lost, twice
}

// tally counts lost and duplicate values.
func tally(values []string, tasks int) (lost, twice int) {
	c := make(counts, tasks)
	for _, v := range values {
		c.see(v)
	}
	_, lost, twice = c.tally()
	return lost, twice
}

// killAtRandom sends SIGTERM and SIGKILL in turn to random tasks, each time after records flow again.
func (d *deployment) killAtRandom(pods []*pod, randomSource uint64, flowing func()) {
	d.t.Helper()
	random := rand.New(rand.NewPCG(randomSource, randomSource+1))
	for i := range 2 * rounds() {
		flowing()
		victim := random.IntN(len(pods))
		if i%2 == 0 {
			require.Zero(d.t, pods[victim].term())
		} else {
			pods[victim].kill()
		}
		pods[victim] = d.startTask(victim)
		pods[victim].ready()
		if (i+1)%20 == 0 {
			d.t.Logf("%s: %d of %d signals", d.name, i+1, 2*rounds())
		}
	}
	flowing()
}

// noteTally adds a tally to the report.
func noteTally(t *testing.T, what string, records, lost, twice int, aim string) {
	t.Helper()
	found := fmt.Sprintf("%d records, %d lost, %d duplicates", records, lost, twice)
	t.Logf("%s: %d SIGTERM and %d SIGKILL under load: %s", what, rounds(), rounds(), found)
	if os.Getenv("WEIR_BENCH") != "" {
		results.add(fmt.Sprintf("%s: %d SIGTERM, %d SIGKILL under load", what, rounds(), rounds()), aim, "%s", found)
	}
}

func TestKilledSourceTasksLoseNoRecords(t *testing.T) {
	t.Parallel()
	for _, exactlyOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("exactly once %v", exactlyOnce), func(t *testing.T) {
			t.Parallel()
			const tasks = 2
			b := sharedKafka(t)
			name := fmt.Sprintf("tally-source-%v", exactlyOnce)
			topic := b.CreateTopic(t, name, 3)
			d := deploy(t, name, map[string]string{
				"connector.class": sequence, "topic": topic, "tasks.max": strconv.Itoa(tasks), "batch": "20", "pause.ms": "10",
			})
			if exactlyOnce {
				d.worker["exactly.once.source.support"] = "enabled"
				d.connector["exactly.once.support"] = "required"
			}
			pods := d.startTasks(tasks)
			d.killAtRandom(pods, 1, func() {
				before := b.Count(t, topic)
				eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) > before+200 })
			})
			for _, p := range pods {
				require.Zero(t, p.term())
			}
			found := make(counts, tasks)
			b.EachValue(t, topic, found.see)
			records, lost, twice := found.tally()
			what, aim := "source tasks", "0 lost"
			if exactlyOnce {
				what, aim = "exactly-once source tasks", "0 lost, 0 duplicates"
				require.Zero(t, twice)
			}
			noteTally(t, what, records, lost, twice, aim)
			require.Zero(t, lost)
		})
	}
}

func TestKilledSinkTasksLoseNoRecords(t *testing.T) {
	t.Parallel()
	const tasks = 2
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "tally-sink", 4)
	source := deploy(
		t,
		"tally-feed",
		map[string]string{"connector.class": sequence, "topic": topic, "batch": "20", "pause.ms": "10"},
	)
	feed := source.startTasks(1)[0]
	dir := t.TempDir()
	d := deploy(t, "tally-sink", map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink",
		"topics":          topic,
		"dir":             dir,
		"tasks.max":       strconv.Itoa(tasks),
	})
	file := func(task int) string { return filepath.Join(dir, strconv.Itoa(task)) }
	written := func() (bytes int64) {
		for i := range tasks {
			if info, err := os.Stat(file(i)); err == nil {
				bytes += info.Size()
			}
		}
		return bytes
	}
	pods := d.startTasks(tasks)
	d.killAtRandom(pods, 3, func() {
		before := written()
		eventually(t, time.Minute, "records flow", func() bool { return written() > before+2000 })
	})
	require.Zero(t, feed.term())
	total := b.Count(t, topic)
	eventually(t, 2*time.Minute, "all is committed", func() bool {
		committed, err := b.Admin.FetchOffsets(t.Context(), "connect-"+namespace+"-tally-sink")
		require.NoError(t, err)
		var sum int64
		committed.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
		return sum == total
	})
	found := make(counts, 1)
	for i := range tasks {
		for _, line := range lines(t, file(i)) {
			_, value, _ := strings.Cut(line, "\t")
			found.see(value)
		}
	}
	records, lost, twice := found.tally()
	noteTally(t, "sink tasks (at least once)", records, lost, twice, "0 lost")
	require.EqualValues(t, total, records)
	require.Zero(t, lost)
}

func TestExactlyOnceTaskAbortsTheTransactionOfItsPredecessor(t *testing.T) {
	b := sharedKafka(t)
	d := deploy(t, "predecessor", map[string]string{
		"connector.class": sequence, "topic": b.CreateTopic(t, "predecessor", 1), "exactly.once.support": "required",
	})
	d.worker["exactly.once.source.support"] = "enabled"
	c := d.startConnector()
	c.ready()
	require.Zero(t, c.term())
	killed, err := kgo.NewClient(
		kgo.SeedBrokers(b.Bootstrap()),
		kgo.TransactionalID("connect-cluster-predecessor-0"),
		kgo.TransactionTimeout(10*time.Minute),
	)
	require.NoError(t, err)
	defer killed.Close()
	require.NoError(t, killed.BeginTransaction())
	require.NoError(
		t,
		killed.ProduceSync(
			t.Context(),
			&kgo.Record{Topic: d.worker["offset.storage.topic"], Key: []byte(`["predecessor",{}]`)},
		).
			FirstErr(),
	)
	d.startTask(0).ready()
}

func TestFenceStopsZombieTasksOfAnExactlyOnceSource(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "zombie", 1)
	d := deploy(t, "zombie", map[string]string{
		"connector.class": sequence, "topic": topic, "batch": "10", "pause.ms": "20", "exactly.once.support": "required",
	})
	d.worker["exactly.once.source.support"] = "enabled"
	zombie := d.startTasks(1)[0]
	require.Equal(
		t,
		"true",
		d.annotations()[contract.AnnotationExactlyOnce],
		"connect-scheduler hears that it has to fence",
	)
	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) > 100 })
	var result contract.OffsetsResult
	code, _ := d.request(&result, "offsets", "fence", "--fence-tasks", "1")
	require.Zero(t, code)
	require.Contains(t, result.Message, "fenced the producers of 1 tasks")
	require.Equal(t, 1, zombie.exit(), "the zombie ends")
	require.Equal(t, contract.ReasonTaskFailed, zombie.message().Reason)
	lost, twice := tally(b.Values(t, topic), 1)
	require.Zero(t, lost)
	require.Zero(t, twice)
}

func TestResetFencesZombieTasksOfAnExactlyOnceSource(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "reset-zombie", 1)
	d := deploy(t, "reset-zombie", map[string]string{
		"connector.class": sequence, "topic": topic, "batch": "10", "pause.ms": "20", "exactly.once.support": "required",
	})
	d.worker["exactly.once.source.support"] = "enabled"
	zombie := d.startTasks(1)[0]
	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) > 100 })
	var result contract.OffsetsResult
	code, p := d.request(&result, "offsets", "reset", "--fence-tasks", "1")
	require.Zero(t, code, p.message().Message)
	require.Equal(t, 1, zombie.exit(), "the zombie cannot commit after the reset")
	code, _ = d.request(&result, "offsets", "list")
	require.Zero(t, code)
	require.Empty(t, result.Offsets)
}
