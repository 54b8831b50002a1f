package rollout

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// unmountedClaim returns the value of desired.LabelClaim for a claim that tasks may not use yet, because the
// connector's pod is not ready with it. If the claim cannot be mounted, the tasks keep running with the previous claim.
// It is empty if there is no such claim.
func unmountedClaim(connector *observed.Pod, volume *spec.Volume) string {
	want := desired.ClaimLabel(volume)
	if connector != nil && connector.Ready && connector.Labels[desired.LabelClaim] == want {
		return ""
	}
	return want
}

// resizeRestart returns the first task if a pod has to restart so that a driver without online expansion can grow the
// file system. It returns nothing if a pod has started since the claim began to wait.
func resizeRestart(claim *corev1.PersistentVolumeClaim, pods observed.Pods, replicas int) []Restart {
	if claim == nil || replicas == 0 {
		return nil
	}
	i := slices.IndexFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimFileSystemResizePending && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return nil
	}
	for _, pod := range pods.Workload {
		if pod.DeletionTimestamp != nil ||
			pod.CreationTimestamp.After(claim.Status.Conditions[i].LastTransitionTime.Time) {
			return nil
		}
	}
	if pod := pods.Tasks[0]; pod != nil {
		return []Restart{{pod, causeResize}}
	}
	return nil
}
