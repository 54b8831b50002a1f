package taskset

import (
	"fmt"

	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// lost returns the set of the running tasks if their Secret was deleted, and whether it was.
func (t Set) lost(s observed.State) (Set, bool) {
	if IsPublished(s) || len(t.Running) == 0 {
		return Set{}, false
	}
	set := t.Freeze(spec.Finding{Reason: connectv1.ReasonTaskConfigsLost, Message: fmt.Sprintf(
		"Secret %s was deleted; waiting for the connector to publish its task configs again; running tasks are unchanged",
		observed.TasksName(s.Connector.Name))})
	set.Lost, set.replicas = true, int(ptr.Deref(s.Objects.TaskSet.Spec.Replicas, 1))
	return set, true
}

// IsPublished reports whether the connector has published task configs in the Secret that exists now.
func IsPublished(s observed.State) bool {
	return s.TaskConfigs != nil && s.TaskConfigs.Annotations[contract.AnnotationTaskCount] != ""
}
