package rollout

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// staleRestarts is the number of container restarts after which a pod with a stale task config is replaced. A container
// restart suffices if the kubelet mounts the Secret again.
const staleRestarts = 3

// lostTaskConfigs returns the cause to restart the connector's pod after the Secret with its task configs was deleted:
// a running connector does not publish the same task configs again. The pod restarts once, because the next pod is
// newer than the Secret. A pod that is not ready publishes when it starts.
func lostTaskConfigs(s observed.State, pod *observed.Pod) string {
	secret := s.Objects.TaskConfigs
	if taskset.IsPublished(s) || s.Ownership(secret) != observed.Owned || !pod.Ready ||
		!pod.CreationTimestamp.Before(&secret.CreationTimestamp) {
		return ""
	}
	return "Secret " + secret.Name + " was deleted and the connector has to publish its task configs again"
}

// staleTaskConfig returns the cause to replace the pod of a task that cannot read its published task config. A pod
// that started without its key in the Secret has an empty directory in place of the file. A container restart does not
// change this.
func staleTaskConfig(set taskset.Set, pod *observed.Pod) string {
	if set.Condition.Status != metav1.ConditionTrue || pod.Ready ||
		pod.Main.RestartCount < staleRestarts ||
		!pod.FailsWith(contract.ReasonTaskConfigStale) {
		return ""
	}
	return "it started without its task config"
}
