package observed

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// Ownership is the relation between an object and the owner from whose name the name of the object derives.
type Ownership int

const (
	// Absent means that the object does not exist.
	Absent Ownership = iota
	// Owned means that the owner controls the object, or the object is orphaned and can be adopted.
	Owned
	// OwnedByDeleted means that a deleted owner of the same name controls the object. The garbage collector deletes it.
	OwnedByDeleted
	// Foreign means that connect-scheduler does not manage the object and must not change it.
	Foreign
)

// Owner identifies a KafkaConnector or a KafkaConnect.
type Owner struct {
	Kind, Namespace, Name string
	UID                   types.UID
}

// ConnectorOwner returns a KafkaConnector as an owner.
func ConnectorOwner(c *connectv1.KafkaConnector) Owner {
	return Owner{"KafkaConnector", c.Namespace, c.Name, c.UID}
}

// ConnectOwner returns a KafkaConnect as an owner.
func ConnectOwner(c *connectv1.KafkaConnect) Owner {
	return Owner{"KafkaConnect", c.Namespace, c.Name, c.UID}
}

// Ownership returns the relation of an object to the owner.
func (o Owner) Ownership(object metav1.Object) Ownership {
	if IsNil(object) {
		return Absent
	}
	controller := metav1.GetControllerOf(object)
	labels := object.GetLabels()
	switch {
	case controller == nil && labels[contract.LabelManagedBy] == Manager && labels[contract.LabelInstance] == o.Name:
		return Owned
	case controller == nil:
		return Foreign
	case controller.UID == o.UID:
		return Owned
	case controller.Kind == o.Kind && controller.Name == o.Name &&
		strings.HasPrefix(controller.APIVersion, connectv1.GroupName+"/"):
		return OwnedByDeleted
	}
	return Foreign
}

// Ownership returns the relation of an object to the KafkaConnector.
func (s State) Ownership(object metav1.Object) Ownership {
	return ConnectorOwner(s.Connector).Ownership(object)
}

// HasStarted reports whether pods of the connector have been created. An object of a deleted connector of the same name
// does not count.
func (s State) HasStarted() bool {
	return s.Ownership(s.Objects.ConnectorSet) == Owned || s.Ownership(s.Objects.TaskSet) == Owned
}

// IsNil reports whether an object is nil, or an interface that holds a nil pointer.
func IsNil(object metav1.Object) bool {
	return object == nil || reflect.ValueOf(object).IsNil()
}
