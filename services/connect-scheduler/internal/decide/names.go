package decide

import (
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// ConnectorName is the name of the connector's StatefulSet, ConfigMap, Secret, ServiceAccount, Role, RoleBinding and Service.
func ConnectorName(connector string) string { return connector + "-connector" }

// TasksName is the name of the tasks' StatefulSet, ConfigMap, Secret, PodDisruptionBudget and Service.
func TasksName(connector string) string { return connector + "-tasks" }

// HeadlessName is the name of the headless Service that gives each task a host name.
func HeadlessName(connector string) string { return connector + "-tasks-headless" }

// ClaimName is the name of the shared volume's claim, given the name of its owner (seed 000).
func ClaimName(owner string) string { return "data-" + owner + "-connect" }

// Owners are the names that an object's name may have been derived from.
func Owners(object string) []string {
	var owners []string
	for _, suffix := range []string{"-connector", "-tasks", "-tasks-headless", "-" + contract.OneShotValidate} {
		if owner, ok := strings.CutSuffix(object, suffix); ok && owner != "" {
			owners = append(owners, owner)
		}
	}
	return owners
}

// selector finds the pods of one kind; it never changes, because a StatefulSet's selector cannot.
func selector(connector, kind string) map[string]string {
	return map[string]string{contract.LabelConnector: connector, contract.LabelType: kind}
}

// labelsOf are those of what is made for a connector: the user's own, and over them those that Weir needs.
func labelsOf(connector *connectv1.KafkaConnector, kind string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, connector.Labels)
	maps.Copy(all, selector(connector.Name, kind))
	maps.Copy(all, map[string]string{
		contract.LabelName: "kafka-connect", contract.LabelInstance: connector.Name, contract.LabelComponent: kind,
		contract.LabelPartOf: contract.PartOf, contract.LabelManagedBy: Manager,
	})
	return all
}

func ownerReference(kind, name string, uid types.UID) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(connectv1.SchemeGroupVersion.String()).WithKind(kind).WithName(name).WithUID(uid).
		WithController(true).WithBlockOwnerDeletion(true)
}

// belonging is whose an object is that has a name of ours.
type belonging int

const (
	absent belonging = iota
	// ours is owned by this very connector, or was orphaned by one of its name and can be adopted.
	ours
	// formers is owned by a connector of the same name that is gone; the garbage collector will take it.
	formers
	// foreign belongs to somebody else and is left alone.
	foreign
)

func belongs(object metav1.Object, kind, name string, uid types.UID) belonging {
	owner := metav1.GetControllerOf(object)
	switch {
	case owner == nil && object.GetLabels()[contract.LabelManagedBy] == Manager && object.GetLabels()[contract.LabelInstance] == name:
		return ours
	case owner == nil:
		return foreign
	case owner.UID == uid:
		return ours
	case owner.Kind == kind && owner.Name == name && strings.HasPrefix(owner.APIVersion, connectv1.GroupName+"/"):
		return formers
	}
	return foreign
}
