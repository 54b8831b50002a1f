package e2e

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

	"github.com/weir-dev/weir/apis/contract"
)

// rounds is how often each kind of end is tried: a sample, the whole tally under WEIR_BENCH, or what WEIR_TALLY says.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("WEIR_TALLY")); err == nil {
		return n
	}
	if os.Getenv("WEIR_BENCH") != "" {
		return 100
	}
	return 2
}

// tally counts what each task has written: how many numbers are missing below the highest, how many come twice.
func tally(values []string, tasks int) (lost, twice int) {
	seen := make([]map[int]int, tasks)
	highest := make([]int, tasks)
	for i := range seen {
		seen[i] = map[int]int{}
	}
	for _, v := range values {
		task, number, _ := strings.Cut(v, "-")
		i, _ := strconv.Atoi(task)
		n, _ := strconv.Atoi(number)
		seen[i][n]++
		highest[i] = max(highest[i], n+1)
	}
	for i := range seen {
		lost += highest[i] - len(seen[i])
		for _, n := range seen[i] {
			twice += n - 1
		}
	}
	return lost, twice
}

func TestTallyOfSourceTasksThatEndAtRandomUnderLoad(t *testing.T) {
	for _, exactlyOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("exactly once %v", exactlyOnce), func(t *testing.T) {
			const tasks = 2
			b := kafka(t)
			name := fmt.Sprintf("tally-source-%v", exactlyOnce)
			topic := b.topic(t, name, 3)
			d := deploy(t, name, map[string]string{
				"connector.class": sequence, "topic": topic, "tasks.max": strconv.Itoa(tasks), "batch": "50", "pause.ms": "5",
			})
			if exactlyOnce {
				d.worker["exactly.once.source.support"] = "enabled"
				d.connector["exactly.once.support"] = "required"
			}
			pods := d.startTasks(tasks)
			random := rand.New(rand.NewPCG(1, 2))
			for i := range 2 * rounds() {
				victim := random.IntN(tasks)
				before := b.count(t, topic)
				eventually(t, time.Minute, "records flow", func() bool { return b.count(t, topic) > before+int64(random.IntN(400)) })
				if i%2 == 0 {
					require.Zero(t, pods[victim].term())
				} else {
					pods[victim].kill()
				}
				pods[victim] = d.startTask(victim)
				pods[victim].ready()
			}
			before := b.count(t, topic)
			eventually(t, time.Minute, "records flow at the end", func() bool { return b.count(t, topic) > before+500 })
			for _, p := range pods {
				require.Zero(t, p.term())
			}
			values := b.values(t, topic)
			lost, twice := tally(values, tasks)
			t.Logf("%d SIGTERM and %d SIGKILL under load, exactly-once %v: %d records, %d lost, %d twice", rounds(), rounds(), exactlyOnce, len(values), lost, twice)
			require.Zero(t, lost)
			if exactlyOnce {
				require.Zero(t, twice)
			}
		})
	}
}

func TestTallyOfSinkTasksThatEndAtRandomUnderLoad(t *testing.T) {
	const tasks = 2
	b := kafka(t)
	topic := b.topic(t, "tally-sink", 4)
	source := deploy(t, "tally-feed", map[string]string{"connector.class": sequence, "topic": topic, "batch": "50", "pause.ms": "5"})
	feed := source.startTasks(1)[0]
	dir := t.TempDir()
	d := deploy(t, "tally-sink", map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": topic, "dir": dir, "tasks.max": strconv.Itoa(tasks),
	})
	pods := d.startTasks(tasks)
	written := func() (values []string) {
		for i := range tasks {
			for _, line := range lines(t, filepath.Join(dir, strconv.Itoa(i))) {
				_, value, _ := strings.Cut(line, "\t")
				values = append(values, value)
			}
		}
		return values
	}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 2 * rounds() {
		victim := random.IntN(tasks)
		before := len(written())
		eventually(t, time.Minute, "records flow", func() bool { return len(written()) > before+random.IntN(200) })
		if i%2 == 0 {
			require.Zero(t, pods[victim].term())
		} else {
			pods[victim].kill()
		}
		pods[victim] = d.startTask(victim)
		pods[victim].ready()
	}
	require.Zero(t, feed.term())
	total := len(b.values(t, topic))
	distinct := func() int {
		set := map[string]bool{}
		for _, v := range written() {
			set[v] = true
		}
		return len(set)
	}
	eventually(t, 2*time.Minute, "everything is written", func() bool { return distinct() >= total })
	lost, twice := tally(written(), 1)
	t.Logf("%d SIGTERM and %d SIGKILL of sink tasks under load: %d records, %d lost, %d twice (at least once is what a sink promises)", rounds(), rounds(), total, lost, twice)
	require.Zero(t, lost)
}

func TestFencingKeepsAZombieOfAnExactlyOnceSourceFromWriting(t *testing.T) {
	b := kafka(t)
	topic := b.topic(t, "zombie", 1)
	d := deploy(t, "zombie", map[string]string{
		"connector.class": sequence, "topic": topic, "batch": "10", "pause.ms": "20", "exactly.once.support": "required",
	})
	d.worker["exactly.once.source.support"] = "enabled"
	zombie := d.startTasks(1)[0]
	require.Equal(t, "true", d.annotations()[contract.AnnotationExactlyOnce], "connect-scheduler hears that it has to fence")
	eventually(t, time.Minute, "records flow", func() bool { return b.count(t, topic) > 100 })
	var result contract.OffsetsResult
	code, _ := d.request(&result, "offsets", "fence", "--fence-tasks", "1")
	require.Zero(t, code)
	require.Contains(t, result.Message, "fenced the producers of 1 tasks")
	require.Equal(t, 1, zombie.exit(), "the zombie ends")
	require.Equal(t, contract.ReasonTaskFailed, zombie.message().Reason)
	lost, twice := tally(b.values(t, topic), 1)
	require.Zero(t, lost)
	require.Zero(t, twice)
}
