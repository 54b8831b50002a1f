package e2e

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

// vault is a file whose values a config provider hands out for a second.
func (d *deployment) vault(values string) string {
	d.t.Helper()
	d.worker["config.providers"] = "vault"
	d.worker["config.providers.vault.class"] = "dev.weir.connect.testplugin.ExpiringProvider"
	d.worker["config.providers.vault.param.ttl.ms"] = "1000"
	return write(d.t, filepath.Join(d.t.TempDir(), "vault.properties"), values)
}

func (p *pod) says(what string) int { return strings.Count(p.text(), what) }

const (
	taskAnew      = "Starting the task anew: a value of a config provider has expired"
	connectorAnew = "Starting the connector anew: a value of a config provider has expired"
)

func TestATaskStartsAnewWithTheNewValueWhenOneOfAConfigProviderExpires(t *testing.T) {
	b := kafka(t)
	before, after := b.topic(t, "expiry-before", 1), b.topic(t, "expiry-after", 1)
	d := deploy(t, "expiry", map[string]string{"connector.class": sequence, "batch": "10", "pause.ms": "5"})
	secrets := d.vault("topic=" + before + "\npassword=first-Passw0rd\n")
	d.connector["topic"] = "${vault:" + secrets + ":topic}"
	d.connector["sequence.password"] = "${vault:" + secrets + ":password}"
	// The configurations in effect are dumped at each start.
	d.runner.LoggerLevels = map[string]string{"org.apache.kafka.common.config.AbstractConfig": "INFO"}
	c := d.startConnector()
	c.ready()
	p := d.startTask(0)
	p.ready()
	// Two of the same kind: one whose owner does not want it, and one that has nothing to ask any more.
	deaf := deploy(t, "expiry-ignored", map[string]string{"connector.class": sequence, "pause.ms": "100", "config.action.reload": "none"})
	deaf.connector["topic"] = "${vault:" + deaf.vault("topic="+b.topic(t, "expiry-ignored", 1)) + ":topic}"
	ignoring := deaf.startTasks(1)[0]
	closed := deploy(t, "expiry-closed", map[string]string{"connector.class": sequence, "pause.ms": "100"})
	gone := closed.vault("topic=" + b.topic(t, "expiry-closed", 1))
	closed.connector["topic"] = "${vault:" + gone + ":topic}"
	orphan := closed.startTasks(1)[0]

	eventually(t, time.Minute, "records flow", func() bool { return b.count(t, before) > 100 })
	write(t, secrets, "topic="+after+"\npassword=second-Passw0rd\n")
	require.NoError(t, os.Remove(gone))
	eventually(t, time.Minute, "records flow to the new topic", func() bool { return b.count(t, after) > 100 })
	anew := p.says(taskAnew)
	eventually(t, time.Minute, "the task starts anew each time", func() bool { return p.says(taskAnew) >= anew+2 })
	require.NotZero(t, c.says(connectorAnew))
	require.False(t, p.over(), "in the same process")
	require.Zero(t, ignoring.says(taskAnew), "config.action.reload=none")
	require.Zero(t, ignoring.term())

	require.Equal(t, 10, orphan.exit(), "a value that cannot be had any more ends the task")
	require.Equal(t, contract.ReasonConfigInvalid, orphan.message().Reason)
	require.Contains(t, orphan.message().Message, "is closed")

	require.Zero(t, p.term())
	lost, twice := tally(append(b.values(t, before), b.values(t, after)...), 1)
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Equal(t, 1, c.says(`msg="task configs published"`), "placeholders are what they were")
	published, err := os.ReadFile(filepath.Join(d.published(), "task-0.json"))
	require.NoError(t, err)
	for _, secret := range []string{"first-Passw0rd", "second-Passw0rd"} {
		for where, text := range map[string]string{"the connector's log": c.text(), "the task's log": p.text(), "the task's config": string(published)} {
			require.NotContains(t, text, secret, fmt.Sprintf("%s holds a secret", where))
		}
	}
}
