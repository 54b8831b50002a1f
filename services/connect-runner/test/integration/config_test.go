package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

// read returns a published task config.
func (d *deployment) read(id int) contract.TaskConfig {
	d.t.Helper()
	common, err := os.ReadFile(filepath.Join(d.published(), contract.TaskCommonKey))
	if err != nil {
		common = nil
	}
	file, err := os.ReadFile(filepath.Join(d.published(), contract.TaskConfigKey(id)))
	require.NoError(d.t, err)
	config, _, err := contract.NewTaskConfigReader(common).Read(file)
	require.NoError(d.t, err)
	return config
}

func TestNullValuesOfATaskConfigAreNotEmptyStrings(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "null", 1)
	d := deploy(t, "null", map[string]string{
		"connector.class": sequence, "topic": topic, "count": "10", "with.null": "true",
	})
	// The connector returns null for the key nothing. The task fails if the value is an empty string, and Connect fails
	// the task if the value is null.
	d.startTasks(1)
	require.NotContains(t, d.read(0).Task, "nothing")
	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) == 10 })
}

func TestLargeTaskConfigsArePublishedInTheCompactFormat(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "compact", 1)
	config := map[string]string{"connector.class": sequence, "topic": topic, "count": "10", "tasks.max": "5"}
	for i := range 300 {
		config[fmt.Sprintf("setting.%d", i)] = fmt.Sprintf("%01024d", i)
	}
	d := deploy(t, "compact", config)
	d.env = []string{contract.EnvTaskFormat + "=" + contract.TaskFormatCompact}
	c := d.startConnector()
	c.ready()
	require.Equal(t, "5", d.annotations()[contract.AnnotationTaskCount])
	require.FileExists(t, filepath.Join(d.published(), contract.TaskCommonKey))
	for id := range 5 {
		task := d.read(id)
		require.Equal(t, fmt.Sprint(id), *task.Task["task.id"])
		require.Len(t, *task.Task["setting.7"], 1024)
	}
	d.startTask(4, "--task-common", filepath.Join(d.published(), contract.TaskCommonKey)).ready()
	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) == 10 })
}

func TestConnectorWithAnOutdatedMountDoesNotStart(t *testing.T) {
	requireBuild(t)
	d := deploy(t, "outdated", map[string]string{"connector.class": sequence, "topic": "outdated"})
	d.files()
	file := filepath.Join(d.dir, "connector.json")
	wanted := jsonText(t, map[string]string{"connector.class": sequence, "topic": "outdated", "batch": "7"})
	c := d.startConnector("--generation", contract.TaskConfigHash([]byte(wanted)))
	eventually(t, time.Minute, "the connector waits", func() bool {
		_, text := c.get("/readyz")
		return text == "not ready: reading the connector's configuration\n"
	})
	require.Empty(t, d.hashes(), "nothing is published under the new generation")
	write(t, file, wanted)
	c.ready()
	require.Equal(t, "7", *d.read(0).Task["batch"])
}

func TestHangingStopExitsWithAnError(t *testing.T) {
	b := sharedKafka(t)
	d := deploy(t, "hangs", map[string]string{
		"connector.class": sequence, "topic": b.CreateTopic(t, "hangs", 1), "stop.seconds": "60", "count": "10",
	})
	d.startConnector().ready()
	d.worker["task.shutdown.graceful.timeout.ms"] = "1000"
	p := d.startTask(0)
	p.ready()
	require.Equal(t, 1, p.term())
	require.Equal(t, contract.ReasonTaskFailed, p.message().Reason)
	require.Contains(t, p.message().Message, "[task hangs-0] did not stop within the graceful shutdown timeout")
}
