package spec

import (
	"slices"
	"strings"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// ReadWorker returns the settings of worker.properties on which decisions depend. They contain no secrets.
func ReadWorker(properties []byte) observed.WorkerSettings {
	var settings observed.WorkerSettings
	for _, line := range logicalLines(string(properties)) {
		switch key, value := property(line); key {
		case "offset.storage.topic":
			settings.OffsetsTopic = strings.TrimSpace(value)
		case "bootstrap.servers":
			settings.Servers = nil
			for server := range strings.SplitSeq(value, ",") {
				if server = strings.TrimSpace(server); server != "" {
					settings.Servers = append(settings.Servers, server)
				}
			}
		}
	}
	return settings
}

// logicalLines returns the lines of a properties file without comments. A backslash at the end of a line continues it.
func logicalLines(text string) []string {
	var lines []string
	continued := false
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimLeft(line, " \t\f")
		if !continued && (line == "" || strings.ContainsAny(line[:1], "#!")) {
			continue
		}
		backslashes := len(line) - len(strings.TrimRight(line, `\`))
		continues := backslashes%2 == 1
		line = strings.TrimSuffix(line, map[bool]string{true: `\`}[continues])
		if continued {
			lines[len(lines)-1] += line
		} else {
			lines = append(lines, line)
		}
		continued = continues
	}
	return lines
}

// property splits a line at the first separator that is not escaped.
func property(line string) (key, value string) {
	var text strings.Builder
	rest := line
	for rest != "" && !strings.ContainsAny(rest[:1], "=: \t\f") {
		if rest[0] == '\\' && len(rest) > 1 {
			rest = rest[1:]
		}
		text.WriteByte(rest[0])
		rest = rest[1:]
	}
	rest = strings.TrimLeft(rest, " \t\f")
	if rest != "" && strings.ContainsAny(rest[:1], "=:") {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	return text.String(), strings.ReplaceAll(rest, `\`, "")
}

// isBefore reports whether a namesake has the older right to its offsets: it has started, or it was created first.
func isBefore(n observed.Namesake, c *connectv1.KafkaConnector) bool {
	if observed.ConnectorOwner(n.Connector).Ownership(n.Set) == observed.Owned {
		return true
	}
	a, b := n.Connector.CreationTimestamp, c.CreationTimestamp
	return a.Before(&b) || a.Equal(&b) && n.Connector.UID < c.UID
}

// offsetsStore is where a source stores its offsets, as far as the configuration tells.
type offsetsStore struct {
	topics, servers []string
}

// overlaps reports whether two connectors of the same name would read each other's offsets.
func (o offsetsStore) overlaps(other offsetsStore) bool {
	return intersect(o.topics, other.topics) && intersect(o.servers, other.servers)
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// storeOf returns the offsets store of a connector. Values with placeholders are not known.
func storeOf(namespace, defaultTopic string, worker *observed.Secret, config map[string]string) offsetsStore {
	var store offsetsStore
	if worker == nil {
		return store
	}
	topic := worker.Worker.OffsetsTopic
	if topic == "" {
		topic = defaultTopic
	}
	// A topic of the connector itself does not replace the topic of the worker: Connect uses both.
	for _, name := range []string{topic, config["offsets.storage.topic"]} {
		if name != "" && !strings.Contains(name, "${") {
			store.topics = append(store.topics, name)
		}
	}
	for _, server := range worker.Worker.Servers {
		if !strings.Contains(server, "${") {
			store.servers = append(store.servers, qualified(server, namespace))
		}
	}
	return store
}

// qualified returns the address of a server that is the same in all namespaces. The host name of a Service is relative
// to the namespace of the pod.
func qualified(server, namespace string) string {
	if _, address, found := strings.Cut(server, "://"); found {
		server = address
	}
	host, port, _ := strings.Cut(server, ":")
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	host = strings.TrimSuffix(strings.TrimSuffix(host, ".cluster.local"), ".svc")
	if !strings.Contains(host, ".") {
		host += "." + namespace
	}
	return host + ":" + port
}

// isSink reports whether a configuration can only be that of a sink. Connect requires topics or topics.regex of every
// sink. Some sources have a setting of this name too; their class names say that they are sources.
func isSink(config map[string]string) bool {
	class := config["connector.class"]
	class = class[strings.LastIndex(class, ".")+1:]
	if config["topics"] == "" && config["topics.regex"] == "" {
		return false
	}
	return strings.Contains(class, "Sink") || !strings.Contains(class, "Source")
}
