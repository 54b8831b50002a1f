package reconcile

import (
	"k8s.io/apimachinery/pkg/api/meta"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// indexByName indexes KafkaConnectors by their name alone.
func indexByName(object any) ([]string, error) {
	if c, ok := object.(*connectv1.KafkaConnector); ok {
		return []string{c.Name}, nil
	}
	return nil, nil
}

// others returns the KafkaConnectors of the same name in other namespaces.
func (c *caches) others(connector *connectv1.KafkaConnector) []*connectv1.KafkaConnector {
	objects, err := c.connects.Io().V1().KafkaConnectors().Informer().GetIndexer().ByIndex(byName, connector.Name)
	if err != nil {
		panic("the index " + byName + " does not exist: " + err.Error())
	}
	var found []*connectv1.KafkaConnector
	for _, object := range objects {
		if other := object.(*connectv1.KafkaConnector); other.Namespace != connector.Namespace {
			found = append(found, other)
		}
	}
	return found
}

// namesakes reads the connectors of the same name in other namespaces. A namesake whose objects cannot be read is left
// out: it cannot hold up another namespace.
func (c *caches) namesakes(connector *connectv1.KafkaConnector) []observed.Namesake {
	var found []observed.Namesake
	for _, other := range c.others(connector) {
		n := observed.Namesake{Connector: other}
		ns := other.Namespace
		sets := c.objects.Apps().V1().StatefulSets().Lister().StatefulSets(ns)
		n.Set, _ = read("StatefulSet", observed.ConnectorName(other.Name), sets.Get)
		var connect *connectv1.KafkaConnect
		if name := nameOf(other.Spec.ConnectRef); name != "" {
			connect, _ = read("KafkaConnect", name, c.connectLister.KafkaConnects(ns).Get)
		}
		if name := spec.Merge(other, connect).WorkerSecret; name != "" {
			worker, _ := read("Secret", name, c.objects.Core().V1().Secrets().Lister().Secrets(ns).Get)
			n.Worker = describe(worker)
		}
		found = append(found, n)
	}
	return found
}

// withRefused adds the KafkaConnectors that do not start because of the offsets of one of these.
func (c *caches) withRefused(found []controller.Key) []controller.Key {
	for _, key := range found {
		connector := &connectv1.KafkaConnector{}
		connector.Name, connector.Namespace = key.Name, key.Namespace
		for _, other := range c.others(connector) {
			valid := meta.FindStatusCondition(other.Status.Conditions, connectv1.ConditionConfigValid)
			if valid != nil && valid.Reason == connectv1.ReasonOffsetsConflict {
				found = append(found, controller.Key{Namespace: other.Namespace, Name: other.Name})
			}
		}
	}
	return found
}
