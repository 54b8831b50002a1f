package desired

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// isCompact reports whether the tasks' pods mount the common part of the task configs, so that the connector may
// publish the compact format.
//
// connect-runner publishes the plain format as long as the task configs are small, and images that do not know the
// compact format ignore the permission. Only a task with another image than the connector could be unable to read what
// the connector has published. The connector then loses the permission for as long as the images differ.
//
// Pods that an older version of connect-scheduler has created do not mount the common part. They keep the plain format
// until their template changes for another reason, or until the task configs are too large for it, so that an upgrade
// restarts no pod.
func (b Builder) isCompact() bool {
	s := b.state
	connector, tasks := s.Objects.ConnectorSet, s.Objects.TaskSet
	if s.Ownership(connector) != observed.Owned {
		return true
	}
	isPermitted := observed.EnvOf(connector, contract.TypeConnector, contract.EnvTaskFormat) != ""
	switch {
	case b.spec.Connector.Image != b.spec.Task.Image:
		return isPermitted && !publishesCommonPart(s)
	case hasTooLargeTaskConfigs(s):
		return true
	case s.Ownership(tasks) == observed.Owned:
		return mountsCommonPart(tasks) || !matches(tasks, b.tasks.podTemplate())
	}
	return isPermitted || !matches(connector, b.connector.podTemplate())
}

// hasTooLargeTaskConfigs reports whether the connector cannot publish its task configs in the plain format.
func hasTooLargeTaskConfigs(s observed.State) bool {
	return s.Pods.Connector != nil && s.Pods.Connector.FailsWith(contract.ReasonTaskConfigsTooLarge)
}

// publishesCommonPart reports whether the published task configs have the compact format.
func publishesCommonPart(s observed.State) bool {
	if s.TaskConfigs == nil {
		return false
	}
	_, found := s.TaskConfigs.Keys[contract.TaskCommonKey]
	return found
}

func mountsCommonPart(tasks *appsv1.StatefulSet) bool {
	return slices.ContainsFunc(tasks.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == volumeTaskCommon
	})
}

// matches reports whether a StatefulSet has a pod template.
func matches(live *appsv1.StatefulSet, template *corev1ac.PodTemplateSpecApplyConfiguration) bool {
	return MatchesTemplate(&corev1.Pod{ObjectMeta: live.Spec.Template.ObjectMeta}, template)
}
