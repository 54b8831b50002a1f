package observed

import (
	"strings"

	"github.com/weir-dev/weir/apis/contract"
)

// Manager is the field manager of connect-scheduler and the value of app.kubernetes.io/managed-by on its objects.
const Manager = "connect-scheduler"

// ConnectorName returns the name of the connector's StatefulSet, Secret, ServiceAccount, Role, RoleBinding and Service.
func ConnectorName(connector string) string { return connector + "-connector" }

// TasksName returns the name of the tasks' StatefulSet, Secret, PodDisruptionBudget and Service.
func TasksName(connector string) string { return connector + "-tasks" }

// HeadlessName returns the name of the headless Service that gives each task a host name.
func HeadlessName(connector string) string { return connector + "-tasks-headless" }

// ClaimName returns the name of the claim of a shared volume, given the name of the KafkaConnect or KafkaConnector that
// owns the volume.
func ClaimName(owner string) string { return "data-" + owner + "-connect" }

// OneShotName returns the name of the pod of a one-shot operation.
func OneShotName(connector, operation string) string { return connector + "-" + operation }

// CandidateName returns the name of the Secret that holds the configuration under validation.
func CandidateName(connector string) string { return OneShotName(connector, contract.OneShotValidate) }

// Owners returns the names of all KafkaConnectors from which the name of an object may derive.
func Owners(object string) []string {
	var owners []string
	for _, suffix := range []string{"-connector", "-tasks", "-tasks-headless", "-" + contract.OneShotValidate} {
		if owner, ok := strings.CutSuffix(object, suffix); ok && owner != "" {
			owners = append(owners, owner)
		}
	}
	return owners
}
