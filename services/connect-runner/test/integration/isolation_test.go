package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

// editionSources are the sources of a plugin with a connector and a transform. Both print the edition of the library
// that they load. Connect has a class of the same name without that method.
var editionSources = map[string]string{
	"ObjectMapper.java": `package com.fasterxml.jackson.databind;

public class ObjectMapper {
    public static String edition() {
        return "EDITION";
    }
}
`,
	"Source.java": `package PACKAGE;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.source.SourceConnector;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

public class Source extends SourceConnector {
    private Map<String, String> config;

    @Override public String version() { return "EDITION"; }
    @Override public void start(Map<String, String> props) { config = props; }
    @Override public Class<? extends Task> taskClass() { return Once.class; }
    @Override public List<Map<String, String>> taskConfigs(int maxTasks) {
        return List.of(Map.of("topic", config.get("topic"), "connector", ObjectMapper.edition()));
    }
    @Override public void stop() { }
    @Override public ConfigDef config() { return new ConfigDef(); }

    /** Writes one record. */
    public static class Once extends SourceTask {
        private final CountDownLatch stopped = new CountDownLatch(1);
        private Map<String, String> config;
        private boolean written;

        @Override public String version() { return "EDITION"; }
        @Override public void start(Map<String, String> props) { config = props; }
        @Override public List<SourceRecord> poll() throws InterruptedException {
            if (written) {
                stopped.await(100, TimeUnit.MILLISECONDS);
                return null;
            }
            written = true;
            return List.of(new SourceRecord(Map.of(), Map.of(), config.get("topic"), Schema.STRING_SCHEMA,
                    "connector " + config.get("connector") + ", task " + ObjectMapper.edition()));
        }
        @Override public void stop() { stopped.countDown(); }
    }
}
`,
	"Stamp.java": `package PACKAGE;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.components.Versioned;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.transforms.Transformation;

import java.util.Map;

public class Stamp<R extends ConnectRecord<R>> implements Transformation<R>, Versioned {
    @Override public String version() { return "EDITION"; }
    @Override public void configure(Map<String, ?> configs) { }
    @Override public R apply(R r) {
        return r.newRecord(r.topic(), r.kafkaPartition(), r.keySchema(), r.key(), r.valueSchema(),
                r.value() + ", transform " + ObjectMapper.edition(), r.timestamp());
    }
    @Override public ConfigDef config() { return new ConfigDef(); }
    @Override public void close() { }
}
`,
}

// edition compiles a plugin with its own edition of the library to a directory below path.
func edition(t *testing.T, path, pkg, edition string) {
	t.Helper()
	sources, dir := t.TempDir(), filepath.Join(path, pkg+"-"+edition)
	args := []string{"-d", dir, "-proc:none", "-cp", filepath.Join(built.lib, "*")}
	replacer := strings.NewReplacer("PACKAGE", pkg, "EDITION", edition)
	for name, text := range editionSources {
		args = append(args, write(t, filepath.Join(sources, name), replacer.Replace(text)))
	}
	out, err := exec.Command("javac", args...).CombinedOutput()
	require.NoError(t, err, string(out))
	services := filepath.Join(dir, "META-INF", "services")
	write(t, filepath.Join(services, "org.apache.kafka.connect.source.SourceConnector"), pkg+".Source")
	write(t, filepath.Join(services, "org.apache.kafka.connect.transforms.Transformation"), pkg+".Stamp")
}

func TestPluginsAreIsolatedFromEachOther(t *testing.T) {
	t.Parallel()
	b := sharedKafka(t)
	path := t.TempDir()
	edition(t, path, "apple", "1.0")
	edition(t, path, "apple", "2.0")
	edition(t, path, "berry", "3.0")
	for i, test := range []struct {
		name   string
		config map[string]string
		want   string
	}{
		{"a connector and a transform of one plugin", map[string]string{
			"connector.class":       "berry.Source",
			"transforms.stamp.type": "berry.Stamp",
		},
			"connector 3.0, task 3.0, transform 3.0"},
		{"a connector and a transform of two plugins", map[string]string{
			"connector.class":       "berry.Source",
			"transforms.stamp.type": "apple.Stamp",
		},
			"connector 3.0, task 3.0, transform 2.0"},
		{"the other order", map[string]string{"connector.class": "apple.Source", "transforms.stamp.type": "berry.Stamp"},
			"connector 2.0, task 2.0, transform 3.0"},
		{"two versions of one plugin, selected by number", map[string]string{
			"connector.class":                 "apple.Source",
			"connector.plugin.version":        "1.0",
			"transforms.stamp.type":           "apple.Stamp",
			"transforms.stamp.plugin.version": "2.0",
		}, "connector 1.0, task 1.0, transform 2.0"},
		{"the other order, selected by range", map[string]string{
			"connector.class":                 "apple.Source",
			"connector.plugin.version":        "[2.0,)",
			"transforms.stamp.type":           "apple.Stamp",
			"transforms.stamp.plugin.version": "(,2.0)",
		}, "connector 2.0, task 2.0, transform 1.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("isolation-%d", i)
			topic := b.CreateTopic(t, name, 1)
			d := deploy(t, name, test.config)
			d.connector["topic"] = topic
			d.connector["transforms"] = "stamp"
			d.plugins = []string{path}
			d.startTasks(1)
			eventually(t, time.Minute, "the record is written", func() bool { return b.Count(t, topic) >= 1 })
			require.Equal(t, []string{test.want}, b.Values(t, topic))
		})
	}
}

func TestNewestVersionWithoutAServiceManifestIsUsed(t *testing.T) {
	t.Parallel()
	b := sharedKafka(t)
	path := t.TempDir()
	edition(t, path, "cherry", "1.0")
	edition(t, path, "cherry", "2.0")
	require.NoError(t, os.RemoveAll(filepath.Join(path, "cherry-2.0", "META-INF")))
	topic := b.CreateTopic(t, "manifest", 1)
	d := deploy(t, "manifest", map[string]string{"connector.class": "cherry.Source", "topic": topic})
	d.plugins = []string{path}
	d.startTasks(1)
	eventually(t, time.Minute, "the record is written", func() bool { return b.Count(t, topic) >= 1 })
	require.Equal(t, []string{"connector 2.0, task 2.0"}, b.Values(t, topic))
}

func TestPluginsWithServiceManifestsNeedNoClassScan(t *testing.T) {
	d := deploy(t, "no-scan", map[string]string{"connector.class": sequence, "topic": "no-scan"})
	var result contract.ValidationResult
	code, p := d.request(&result, "validate")
	require.Zero(t, code)
	require.NotContains(t, p.text(), "scanning all classes")
}
