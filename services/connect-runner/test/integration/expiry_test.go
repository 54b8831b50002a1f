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

// vault writes a file for a config provider whose values expire after a second.
func (d *deployment) vault(values string) string {
	d.t.Helper()
	d.worker["config.providers"] = "vault"
	d.worker["config.providers.vault.class"] = "dev.weir.connect.testplugin.ExpiringProvider"
	d.worker["config.providers.vault.param.ttl.ms"] = "1000"
	return write(d.t, filepath.Join(d.t.TempDir(), "vault.properties"), values)
}

func (p *pod) countLines(what string) int { return strings.Count(p.text(), what) }

const (
	taskRestart      = "Restarting the task: a value of a config provider has expired"
	connectorRestart = "Restarting the connector: a value of a config provider has expired"
)

func TestTaskRestartsWithTheNewValueOfAConfigProvider(t *testing.T) {
	b := sharedKafka(t)
	before, after := b.CreateTopic(t, "expiry-before", 1), b.CreateTopic(t, "expiry-after", 1)
	d := deploy(t, "expiry", map[string]string{"connector.class": sequence, "batch": "10", "pause.ms": "5"})
	secrets := d.vault("topic=" + before + "\npassword=first-Passw0rd\n")
	d.connector["topic"] = "${vault:" + secrets + ":topic}"
	d.connector["sequence.password"] = "${vault:" + secrets + ":password}"
	// Log the whole configuration at each start.
	d.runner.LoggerLevels = map[string]string{"org.apache.kafka.common.config.AbstractConfig": "INFO"}
	c := d.startConnector()
	c.ready()
	p := d.startTask(0)
	p.ready()
	// Two more tasks: one with config.action.reload=none, and one whose file is deleted.
	noReload := deploy(
		t,
		"expiry-ignored",
		map[string]string{"connector.class": sequence, "pause.ms": "100", "config.action.reload": "none"},
	)
	noReload.connector["topic"] = "${vault:" + noReload.vault("topic="+b.CreateTopic(t, "expiry-ignored", 1)) + ":topic}"
	noReloadTask := noReload.startTasks(1)[0]
	deleted := deploy(t, "expiry-closed", map[string]string{"connector.class": sequence, "pause.ms": "100"})
	deletedFile := deleted.vault("topic=" + b.CreateTopic(t, "expiry-closed", 1))
	deleted.connector["topic"] = "${vault:" + deletedFile + ":topic}"
	deletedTask := deleted.startTasks(1)[0]

	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, before) > 100 })
	write(t, secrets, "topic="+after+"\npassword=second-Passw0rd\n")
	require.NoError(t, os.Remove(deletedFile))
	eventually(t, time.Minute, "records flow to the new topic", func() bool { return b.Count(t, after) > 100 })
	restarts := p.countLines(taskRestart)
	eventually(
		t,
		time.Minute,
		"the task restarts each time",
		func() bool { return p.countLines(taskRestart) >= restarts+2 },
	)
	require.NotZero(t, c.countLines(connectorRestart))
	require.False(t, p.over(), "the process does not restart")
	require.Zero(t, noReloadTask.countLines(taskRestart), "config.action.reload=none")
	require.Zero(t, noReloadTask.term())

	require.Equal(t, 10, deletedTask.exit(), "a value that cannot be resolved ends the task")
	require.Equal(t, contract.ReasonConfigInvalid, deletedTask.message().Reason)
	require.Contains(t, deletedTask.message().Message, "is closed")

	require.Zero(t, p.term())
	lost, twice := tally(append(b.Values(t, before), b.Values(t, after)...), 1)
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Equal(t, 1, c.countLines(`msg="task configs published"`), "placeholders do not change")
	published, err := os.ReadFile(filepath.Join(d.published(), "task-0.json"))
	require.NoError(t, err)
	for _, secret := range []string{"first-Passw0rd", "second-Passw0rd"} {
		for where, text := range map[string]string{
			"the connector's log": c.text(),
			"the task's log":      p.text(),
			"the task's config":   string(published),
		} {
			require.NotContains(t, text, secret, fmt.Sprintf("%s contains a secret", where))
		}
	}
}
