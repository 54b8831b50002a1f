package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

func TestRollingRestartOfSinkTasksCausesNoRebalance(t *testing.T) {
	const count = 6
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "static", count)
	dir := t.TempDir()
	d := deploy(t, "static-sink", map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink",
		"topics":          topic,
		"dir":             dir,
		"tasks.max":       fmt.Sprint(count),
	})
	d.args = append(d.args, "--memory-limit", fmt.Sprint(320<<20))
	tasks := d.startTasks(count)
	group := "connect-" + namespace + "-static-sink"
	var values []string
	for i := range 600 {
		values = append(values, fmt.Sprint(i))
	}
	written := func() int {
		n := 0
		for i := range count {
			n += len(lines(t, filepath.Join(dir, fmt.Sprint(i))))
		}
		return n
	}
	b.Produce(t, topic, values...)
	eventually(t, time.Minute, "all partitions to be read", func() bool { return written() == 600 })
	members, err := b.Admin.DescribeGroups(t.Context(), group)
	require.NoError(t, err)
	require.Len(t, members[group].Members, count)
	for _, m := range members[group].Members {
		require.NotNil(t, m.InstanceID, "members are static")
		require.Contains(t, *m.InstanceID, "static-sink-tasks-")
	}

	rebalances := func() int {
		lines, err := b.Nodes[0].LogLines("Preparing to rebalance group " + group)
		require.NoError(t, err)
		return len(lines)
	}
	before := rebalances()
	require.NotZero(t, before, "the broker logs rebalances")
	for i := range tasks {
		require.Zero(t, tasks[i].term())
		tasks[i] = d.startTask(i)
		tasks[i].ready()
	}
	b.Produce(t, topic, values...)
	eventually(t, time.Minute, "all partitions are read again", func() bool { return written() == 1200 })
	t.Logf("%d rebalances during a rolling restart of %d tasks", rebalances()-before, count)
	require.Equal(t, before, rebalances())
}

func TestUnchangedTasksKeepTheirHash(t *testing.T) {
	b := sharedKafka(t)
	control := filepath.Join(t.TempDir(), "control")
	write(t, control, "a,b,c")
	d := deploy(t, "dynamic", map[string]string{
		"connector.class": sequence, "topic": b.CreateTopic(t, "dynamic", 1), "tasks.max": "5", "control.file": control,
	})
	c := d.startConnector("--reconfigure-delay", "200ms")
	c.ready()
	first := d.hashes()
	require.Len(t, first, 3)
	require.Equal(t, "3", d.annotations()["weir.dev/task-count"])
	require.Equal(t, "1", d.annotations()["weir.dev/config-generation"])
	published := func() int { return strings.Count(c.text(), `msg="task configs published"`) }
	require.Equal(t, 1, published())

	changed := time.Now()
	write(t, control, "a,B,c")
	eventually(t, time.Minute, "the new configs are published", func() bool { return published() == 2 })
	t.Logf("from the request to the new task configs: %s", time.Since(changed).Round(time.Millisecond))
	second := d.hashes()
	require.Equal(t, first[0], second[0])
	require.NotEqual(t, first[1], second[1])
	require.Equal(t, first[2], second[2])

	write(t, control, "a,B,c,d,e")
	eventually(t, time.Minute, "there are more tasks", func() bool { return published() == 3 })
	third := d.hashes()
	require.Len(t, third, 5)
	require.Equal(t, second, third[:3], "existing tasks do not change")

	write(t, control, "a")
	eventually(t, time.Minute, "there are less tasks", func() bool { return published() == 4 })
	require.Equal(t, first[:1], d.hashes(), "leftover keys are deleted")
	require.Equal(t, "1", d.annotations()["weir.dev/task-count"])
	require.Equal(t, 4, strings.Count(c.text(), "Publishing task configs"), "requests are debounced")

	write(t, control, "fail")
	require.Equal(t, 1, c.exit())
	require.Equal(t, "ConnectorFailed", c.message().Reason)
	require.Contains(t, c.message().Message, "the control file says so")
}

func TestHigherTasksMaxDoesNotChangeExistingTasks(t *testing.T) {
	b := sharedKafka(t)
	d := deploy(
		t,
		"grows",
		map[string]string{"connector.class": sequence, "topic": b.CreateTopic(t, "grows", 1), "tasks.max": "2"},
	)
	c := d.startConnector()
	c.ready()
	two := d.hashes()
	require.Zero(t, c.term())
	d.connector["tasks.max"] = "3"
	d.startConnector("--generation", "2").ready()
	require.Equal(t, two, d.hashes()[:2])
	require.Equal(t, "2", d.annotations()["weir.dev/config-generation"])
	file, err := os.ReadFile(filepath.Join(d.published(), "task-0.json"))
	require.NoError(t, err)
	require.NotContains(t, string(file), "tasks.max")
}

func TestScaleDownReassignsPartitionsWhenTheStaticMembersAreRemoved(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "scale-down", 2)
	dir := t.TempDir()
	d := deploy(t, "scale-down", map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": topic, "dir": dir, "tasks.max": "2",
		// Without the removal the partition has no consumer for this time.
		"consumer.override.session.timeout.ms": "300000",
	})
	tasks := d.startTasks(2)
	eventually(t, time.Minute, "each task has a partition", func() bool {
		groups, err := b.Admin.DescribeGroups(t.Context(), "connect-"+namespace+"-scale-down")
		require.NoError(t, err)
		assigned := 0
		for _, m := range groups["connect-"+namespace+"-scale-down"].Members {
			if c, ok := m.Assigned.AsConsumer(); ok && len(c.Topics) == 1 && len(c.Topics[0].Partitions) == 1 {
				assigned++
			}
		}
		return assigned == 2
	})
	b.Produce(t, topic, "a", "b", "c", "d")
	file := func(id string) int { return len(lines(t, filepath.Join(dir, id))) }
	eventually(t, time.Minute, "both tasks read", func() bool { return file("0") == 2 && file("1") == 2 })
	require.Zero(t, tasks[1].term())

	var result contract.OffsetsResult
	code, p := d.request(&result, "members", "remove", "--remaining-tasks", "1", "--previous-tasks", "4")
	require.Zero(t, code, p.message().Message)
	require.Equal(t, "removed 1 of 3 static members from group connect-"+namespace+"-scale-down", result.Message)
	b.Produce(t, topic, "e", "f", "g", "h")
	eventually(t, time.Minute, "the remaining task reads both partitions", func() bool { return file("0") == 6 })
}
