package apply

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabelManagedBy is the label that names the manager of an object.
const LabelManagedBy = "app.kubernetes.io/managed-by"

// ManagedBy reports whether manager manages the object, by the label app.kubernetes.io/managed-by. It returns
// false for a nil object.
func ManagedBy(object metav1.Object, manager string) bool {
	return !isNil(object) && object.GetLabels()[LabelManagedBy] == manager
}

// NotManagedError says that an object exists under a name that a service needs, but that another client manages it.
type NotManagedError struct {
	// Kind and Name of the object.
	Kind, Name string
	// Manager needs the name.
	Manager string
	// Owner manages the object; empty if unknown.
	Owner string
}

func (e *NotManagedError) Error() string {
	return fmt.Sprintf("%s %q exists and is not managed by %s (owner: %s); rename or delete it",
		e.Kind, e.Name, e.Manager, cmp.Or(e.Owner, "unknown"))
}

// CheckManaged returns a *NotManagedError if the object exists and manager does not manage it. The owner in the error
// is the label app.kubernetes.io/managed-by, else the controller in the owner references, else the first field manager.
func CheckManaged(kind string, object metav1.Object, manager string) error {
	if isNil(object) || ManagedBy(object, manager) {
		return nil
	}
	return &NotManagedError{Kind: kind, Name: object.GetName(), Manager: manager, Owner: owner(object)}
}

func owner(object metav1.Object) string {
	if by := object.GetLabels()[LabelManagedBy]; by != "" {
		return by
	}
	if c := metav1.GetControllerOf(object); c != nil {
		return c.Kind + "/" + c.Name
	}
	for _, entry := range object.GetManagedFields() {
		return entry.Manager
	}
	return ""
}
