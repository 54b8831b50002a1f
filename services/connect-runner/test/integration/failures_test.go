package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
)

const sequence = "dev.weir.connect.testplugin.SequenceSource"

func TestTaskFailureExitsWithATerminationMessage(t *testing.T) {
	for _, test := range []struct {
		name    string
		with    string
		code    int
		reason  string
		message string
	}{
		{"an exception that is not tolerated", "exception", 1, contract.ReasonTaskFailed, "the source is gone"},
		{
			"out of memory",
			"memory",
			16,
			contract.ReasonOutOfMemory,
			"the JVM ran out of memory (Java heap space); raise the memory limit, or -Xmx if jvmOptions sets it",
		},
		{
			"out of direct memory",
			"direct-memory",
			16,
			contract.ReasonOutOfMemory,
			"the JVM ran out of direct buffer memory (Cannot reserve",
		},
		{
			"a plugin that calls System.exit(3)",
			"exit-3",
			1,
			contract.ReasonTaskFailed,
			"the JVM exited with code 3; see its log",
		},
		{"a plugin that calls System.exit", "exit", 1, contract.ReasonTaskFailed, "the JVM exited with code 42; see its log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := sharedKafka(t)
			topic := b.CreateTopic(t, "fails-with-"+test.with, 1)
			d := deploy(t, "fails-with-"+test.with, map[string]string{
				"connector.class": sequence, "topic": topic, "batch": "10", "fail.at": "1000", "fail.with": test.with,
				"sequence.password": "hunter2-and-more",
			})
			d.runner.JVMOptions = []string{"-Xmx96m"}
			d.startConnector().ready()
			if test.with == "direct-memory" {
				d.runner.JVMOptions = append(d.runner.JVMOptions, "-XX:MaxDirectMemorySize=64m")
			}
			p := d.startTask(0)
			require.Equal(t, test.code, p.exit())
			got := p.message()
			require.Equal(t, test.reason, got.Reason)
			require.Contains(t, got.Message, test.message)
			require.NotContains(t, got.Message, "hunter2")
			text, err := os.ReadFile(p.termination)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(text), "\n"), "one line")
			if test.with == "exception" {
				require.Len(t, b.Values(t, topic), 1000, "records that were read before the failure are not lost")
			}
		})
	}
}

func TestStartFailuresExitWithReasonAndCode(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(d *deployment)
		code    int
		reason  string
		message string
	}{
		{"an unknown connector class", func(d *deployment) {
			d.connector["connector.class"] = "org.example.Nowhere"
		}, 12, contract.ReasonPluginInvalid, "org.example.Nowhere"},
		{"no connector class", func(d *deployment) { delete(d.connector, "connector.class") },
			10, contract.ReasonConfigInvalid, "connector.class is missing"},
		{"an invalid connector configuration", func(d *deployment) {
			d.connector["batch"] = "0"
			delete(d.connector, "topic")
		}, 10, contract.ReasonConfigInvalid, `topic: Missing required configuration "topic"`},
		{"an unknown converter", func(d *deployment) {
			d.connector["value.converter"] = "org.example.NoConverter"
		}, 10, contract.ReasonConfigInvalid, "value.converter: "},
		{"an invalid transform configuration", func(d *deployment) {
			d.connector["transforms"] = "drop"
			d.connector["transforms.drop.type"] = "org.apache.kafka.connect.transforms.RegexRouter"
		}, 10, contract.ReasonConfigInvalid, "transforms.drop.regex: "},
		{"an invalid predicate configuration", func(d *deployment) {
			d.connector["predicates"] = "isLine"
			d.connector["predicates.isLine.type"] = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"
			d.connector["predicates.isLine.pattern"] = "["
		}, 10, contract.ReasonConfigInvalid, "predicates.isLine.pattern: "},
		{"a transform with an undefined predicate", func(d *deployment) {
			d.connector["transforms"] = "drop"
			d.connector["transforms.drop.type"] = "org.apache.kafka.connect.transforms.Filter"
			d.connector["transforms.drop.predicate"] = "isLine"
		}, 10, contract.ReasonConfigInvalid, "transforms.drop.predicate: the predicate is not defined"},
		{"a transform that negates no predicate", func(d *deployment) {
			d.connector["transforms"] = "drop"
			d.connector["transforms.drop.type"] = "org.apache.kafka.connect.transforms.Filter"
			d.connector["transforms.drop.negate"] = "true"
		}, 10, contract.ReasonConfigInvalid, "there is no config 'transforms.drop.predicate' defining a predicate"},
		{"a client override that the policy forbids", func(d *deployment) {
			d.worker["connector.client.config.override.policy"] = "None"
			d.connector["producer.override.acks"] = "1"
		}, 10, contract.ReasonConfigInvalid, "producer.override.acks: "},
		{"a worker configuration without converters", func(d *deployment) { delete(d.worker, "key.converter") },
			11, contract.ReasonWorkerConfigInvalid, `"key.converter"`},
		{"an unknown log level", func(d *deployment) {
			d.runner.LoggerLevels = map[string]string{"org.apache.kafka": "LOUD"}
		}, 10, contract.ReasonConfigInvalid, `loggerLevels of org.apache.kafka is "LOUD"; must be OFF, FATAL,`},
		{"an invalid JVM option", func(d *deployment) {
			d.runner.JVMOptions = []string{"-XX:NoSuchOption=1"}
		}, 18, contract.ReasonJVMStartFailed, "the JVM did not start (exit code 1): Unrecognized VM option 'NoSuchOption=1'"},
		{"a log file that is not writable", func(d *deployment) {
			d.runner.LogFile = write(d.t, filepath.Join(d.dir, "file"), "") + "/connect.log"
		}, 10, contract.ReasonConfigInvalid, "/connect.log is not writable"},
		{"a broker that does not answer", func(d *deployment) {
			d.worker["bootstrap.servers"] = "127.0.0.1:1"
			d.worker["default.api.timeout.ms"] = "3000"
			d.worker["request.timeout.ms"] = "2000"
		}, 15, contract.ReasonKafkaUnreachable, "connect to Kafka at [127.0.0.1:1]"},
		{"a connector that does not start", func(d *deployment) {
			d.connector["fail.with"] = "start"
			d.connector["sequence.password"] = "hunter2-and-more"
		}, 1, contract.ReasonConnectorFailed, "the connector cannot start with password [hidden]"},
		{"an unresolvable placeholder", func(d *deployment) {
			d.worker["config.providers"] = "file"
			d.worker["config.providers.file.class"] = "org.apache.kafka.common.config.provider.FileConfigProvider"
			d.connector["sequence.password"] = "${file:/nonexistent:password}"
		}, 10, contract.ReasonConfigInvalid, "resolve the placeholders"},
		{"more tasks than tasks.max", func(d *deployment) {
			d.connector["control.file"] = write(d.t, filepath.Join(d.dir, "control"), "a,b,c")
			d.connector["tasks.max"] = "2"
		}, 1, contract.ReasonConnectorFailed, "tasks"},
		{"task configs larger than a Secret", func(d *deployment) {
			d.connector["tasks.max"] = "40"
			d.connector["padding.bytes"] = "30000"
		}, 13, contract.ReasonTaskConfigsTooLarge, "exceed the size of one Secret (1 MiB): 40 tasks need"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, "refused", map[string]string{"connector.class": sequence, "topic": "refused"})
			test.change(d)
			p := d.startConnector()
			require.Equal(t, test.code, p.exit())
			got := p.message()
			require.Equal(t, test.reason, got.Reason)
			require.Contains(t, got.Message, test.message)
			require.NotContains(t, p.text(), "hunter2-and-more")
			require.Empty(t, d.hashes(), "nothing is published")
		})
	}
}

func TestTaskStartsOnlyWithTheConfigOfItsPod(t *testing.T) {
	requireBuild(t)
	file := jsonText(
		t,
		contract.TaskConfig{
			Connector: map[string]string{"connector.class": sequence},
			Task:      map[string]*string{"task.id": new("0")},
		},
	)
	good := contract.TaskConfigHash([]byte(file))
	for _, test := range []struct {
		name, content, hashes, message string
	}{
		{
			"another config",
			file,
			"0000000000000000",
			"the mounted config of task 0 has hash " + good + "; this pod was created for hash 0000000000000000",
		},
		{"a truncated config", file[:40], good, "the mounted config of task 0 is not a JSON object"},
		{"no config", "", good, "read the config of task 0"},
		{"half a config", `{"connector":{}}`, good, "is not a JSON object with the string maps connector and task"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &deployment{t: t, broker: &kafka.Cluster{}, name: "stale", dir: t.TempDir()}
			if test.content != "" {
				write(t, filepath.Join(d.published(), "task-0.json"), test.content)
			}
			d.files()
			args := append(
				[]string{
					"task",
					"--task-id",
					"0",
					"--task-config",
					filepath.Join(d.published(), "task-0.json"),
					"--task-hashes",
					test.hashes,
				},
				d.common("task-0")...)
			p := d.start("task-0", args)
			require.Equal(t, 14, p.exit())
			require.Equal(t, contract.ReasonTaskConfigStale, p.message().Reason)
			require.Contains(t, p.message().Message, test.message)
		})
	}
}

func TestUnconvertibleRecordFailsTheTaskOrGoesToTheDeadLetterQueue(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "unreadable", 1)
	b.Produce(t, topic, `{"fine":1}`, `{"not json`, `{"fine":2}`)
	connector := map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": topic, "dir": t.TempDir(),
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
	}
	strict := deploy(t, "strict-sink", connector)
	strict.startConnector().ready()
	p := strict.startTask(0)
	require.Equal(t, 1, p.exit())
	require.Equal(t, contract.ReasonTaskFailed, p.message().Reason)
	require.Contains(
		t,
		p.message().Message,
		"Converting byte[] to Kafka Connect data failed due to serialization error",
	)

	connector["errors.tolerance"] = "all"
	connector["errors.deadletterqueue.topic.name"] = "unreadable-dlq"
	connector["errors.deadletterqueue.topic.replication.factor"] = "1"
	connector["dir"] = t.TempDir()
	connector["reject"] = "{fine=2}"
	tolerant := deploy(t, "tolerant-sink", connector)
	tolerant.startTasks(1)
	eventually(
		t,
		time.Minute,
		"the unreadable record is in the dead letter queue",
		func() bool { return b.Count(t, "unreadable-dlq") >= 1 },
	)
	eventually(
		t,
		time.Minute,
		"the readable records are written",
		func() bool { return len(lines(t, filepath.Join(connector["dir"], "0"))) == 2 },
	)
	require.Equal(t, []string{`{"not json`}, b.Values(t, "unreadable-dlq"))
}

func TestRecordReportedByTheSinkGoesToTheDeadLetterQueue(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "errant", 1)
	b.Produce(t, topic, "good", "bad", "better")
	dir := t.TempDir()
	d := deploy(t, "errant-sink", map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": topic, "dir": dir, "reject": "bad",
		"errors.tolerance":                                "all",
		"errors.deadletterqueue.topic.name":               "errant-dlq",
		"errors.deadletterqueue.topic.replication.factor": "1",
	})
	d.startTasks(1)
	eventually(
		t,
		time.Minute,
		"the reported record is in the dead letter queue",
		func() bool { return b.Count(t, "errant-dlq") == 1 },
	)
	eventually(
		t,
		time.Minute,
		"the others are written",
		func() bool { return len(lines(t, filepath.Join(dir, "0"))) == 2 },
	)
}

func TestSecretsOfConfigProvidersAreNotLogged(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "secrecy", 1)
	secrets := write(
		t,
		filepath.Join(t.TempDir(), "secrets.properties"),
		"password=s3cret-Passw0rd\nplain=t0psecret-plain\nservice=workers-0wn\n",
	)
	d := deploy(t, "secrecy", map[string]string{
		"connector.class": sequence, "topic": topic, "fail.at": "10",
		"sequence.password": "${file:" + secrets + ":password}",
		"plain.setting":     "${file:" + secrets + ":plain}",
	})
	d.worker["config.providers"] = "file"
	d.worker["config.providers.file.class"] = "org.apache.kafka.common.config.provider.FileConfigProvider"
	d.worker["producer.sasl.jaas.config"] = "org.apache.kafka.common.security.plain.PlainLoginModule " +
		`required username="u" password="jaas-Passw0rd";`
	d.worker["sasl.kerberos.service.name"] = "${file:" + secrets + ":service}"
	d.worker["an.unknown.setting"] = "unknown-value-0815"
	d.worker["offset.storage.file.filename"] = "/tmp/connect.offsets"
	d.runner.DefaultLoggerLevel = "DEBUG"
	d.runner.LogFile = filepath.Join(d.dir, "log", "task.log")
	// Log all configurations, which are not logged by default.
	d.runner.LoggerLevels = map[string]string{"org.apache.kafka.common.config.AbstractConfig": "INFO"}
	c := d.startConnector()
	c.ready()
	p := d.startTask(0)
	require.Equal(t, 1, p.exit())
	require.Equal(t, contract.ReasonTaskFailed, p.message().Reason)
	require.Contains(t, p.message().Message, "its password was [hidden][hidden]", "the task got what the provider had")
	require.Len(t, b.Values(t, topic), 10)

	var published contract.TaskConfig
	text, err := os.ReadFile(filepath.Join(d.published(), "task-0.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &published))
	require.Equal(t, "${file:"+secrets+":password}", published.Connector["sequence.password"])
	require.Equal(t, "${file:"+secrets+":password}", *published.Task["sequence.password"])
	require.Equal(
		t,
		"sequence://user:${file:"+secrets+":password}@nowhere/",
		*published.Task["url"],
		"also as a part of another setting",
	)

	require.Regexp(
		t,
		`WARN worker.properties has settings that Kafka Connect does not know; .*: \[an.unknown.setting\]`,
		p.text(),
	)
	files := 0
	require.NoError(t, filepath.Walk(d.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || filepath.Base(path) == "worker.properties" {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		for _, secret := range []string{
			"s3cret-Passw0rd",
			"t0psecret-plain",
			"workers-0wn",
			"jaas-Passw0rd",
			"unknown-value-0815",
		} {
			require.NotContains(t, string(text), secret, fmt.Sprintf("%s holds a secret", path))
		}
		return err
	}))
	require.Greater(t, files, 5)
	require.NotEmpty(t, lines(t, d.runner.LogFile), "the log is in the file too")
	code, metrics := c.get("/metrics")
	require.Equal(t, 200, code)
	require.NotContains(t, metrics, "s3cret")
}
