package spec

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// defaultOffsetsTopic returns the topic of source offsets if worker.properties sets none. set is the StatefulSet of the
// connector's pod. A connector that an older version has started keeps the topic that all namespaces shared, so that
// it resumes there.
func defaultOffsetsTopic(c *connectv1.KafkaConnector, set *appsv1.StatefulSet) string {
	if topic := c.Status.DefaultOffsetsTopic; topic != "" {
		return topic
	}
	if observed.ConnectorOwner(c).Ownership(set) == observed.Owned {
		if topic := observed.EnvOf(set, contract.TypeConnector, contract.EnvOffsetsTopic); topic != "" {
			return strings.ReplaceAll(topic, "$("+contract.EnvNamespace+")", c.Namespace)
		}
		return contract.DefaultOffsetsTopic
	}
	if c.Status.ObservedGeneration != 0 {
		// An older version, which did not record the topic, has written the status.
		return contract.DefaultOffsetsTopic
	}
	return contract.OffsetsTopic(c.Namespace)
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
