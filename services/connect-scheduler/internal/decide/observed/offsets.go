package observed

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// HasStarted reports whether pods of the connector have been created. An object of a deleted connector of the same name
// does not count.
func (s State) HasStarted() bool {
	return s.Ownership(s.Objects.ConnectorSet) == Owned || s.Ownership(s.Objects.TaskSet) == Owned
}

// DefaultOffsetsTopic returns the topic of source offsets if worker.properties sets none. The status records it. A
// connector that an older version has started keeps the topic that all namespaces shared, so that it resumes there.
func (s State) DefaultOffsetsTopic() string {
	return defaultOffsetsTopic(s.Connector, s.Objects.ConnectorSet)
}

// DefaultOffsetsTopic is State.DefaultOffsetsTopic for a namesake.
func (n Namesake) DefaultOffsetsTopic() string { return defaultOffsetsTopic(n.Connector, n.Set) }

func defaultOffsetsTopic(c *connectv1.KafkaConnector, set *appsv1.StatefulSet) string {
	if topic := c.Status.DefaultOffsetsTopic; topic != "" {
		return topic
	}
	if ConnectorOwner(c).Ownership(set) == Owned {
		if topic := EnvOf(set, contract.TypeConnector, contract.EnvOffsetsTopic); topic != "" {
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

// EnvOf returns the value of an environment variable in the pod template of a StatefulSet.
func EnvOf(set *appsv1.StatefulSet, container, name string) string {
	for _, c := range set.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if c.Name == container && v.Name == name {
				return v.Value
			}
		}
	}
	return ""
}
