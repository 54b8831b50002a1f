package rollout

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Causes of restarts. They are clauses for events.
const (
	causeTemplate   = "its template or configuration has changed"
	causeTaskConfig = "its task config has changed"
	causeRequest    = "a restart was requested"
	causeStale      = "it started without its task config"
	causeResize     = "the file system of the shared volume can grow only when a pod mounts it again"
)

// staleRestarts is the number of container restarts after which a pod with a stale task config is replaced. A container
// restart suffices if the kubelet mounts the Secret again.
const staleRestarts = 3

// outdatedPods returns the cause to restart of each pod that has one. Pods of tasks that should not run are left out.
func outdatedPods(in Input) map[*observed.Pod]string {
	pods, set, requests := in.Current.Pods, in.Tasks, in.Requests
	outdated := map[*observed.Pod]string{}
	add := func(pod *observed.Pod, causes ...string) {
		if cause := cmp.Or(causes...); cause != "" {
			outdated[pod] = cause
		}
	}
	if pod := pods.Connector; pod != nil {
		add(pod, changedTemplate(in.Sets.Connector, pod), requests.cause(pod), lostTaskConfigs(set.Published, pod))
	}
	for id := range set.Replicas() {
		if pod := pods.Tasks[id]; pod != nil {
			add(pod, changedTemplate(in.Sets.Tasks, pod), changedTaskConfig(set, pod), requests.cause(pod),
				staleConfig(set, pod))
		}
	}
	return outdated
}

func changedTemplate(want *appsv1ac.StatefulSetApplyConfiguration, pod *observed.Pod) string {
	if desired.MatchesTemplate(pod.Pod, want.Spec.Template) {
		return ""
	}
	return causeTemplate
}

// changedTaskConfig returns the cause to replace the pod of a task that has another task config. While a change is
// delayed only pods that no longer find their config are replaced.
func changedTaskConfig(set taskset.Set, pod *observed.Pod) string {
	hash := set.Hashes[pod.Index]
	if hash == "" || pod.TaskHash == hash || set.Delay != nil && !isStale(pod) {
		return ""
	}
	return causeTaskConfig
}

// staleConfig returns the cause to replace the pod of a task that cannot read its published task config. A pod that
// started without its key in the Secret has an empty directory in place of the file. A container restart does not
// change this.
func staleConfig(set taskset.Set, pod *observed.Pod) string {
	if set.Condition.Status != metav1.ConditionTrue || !isStale(pod) || pod.Main.RestartCount < staleRestarts {
		return ""
	}
	return causeStale
}

// isStale reports whether the container of a task has restarted and no longer finds the config of the pod.
func isStale(pod *observed.Pod) bool {
	return !pod.Ready && pod.FailsWith(contract.ReasonTaskConfigStale)
}

// lostTaskConfigs returns the cause to restart the connector's pod after the Secret with its task configs was deleted:
// a running connector does not publish the same task configs again. The pod restarts once, because the next pod is
// newer than the Secret. A pod that is not ready publishes when it starts.
func lostTaskConfigs(secret observed.Published, pod *observed.Pod) string {
	if secret.Exists || !pod.Ready || !pod.CreationTimestamp.Before(&secret.Created) {
		return ""
	}
	return "Secret " + secret.Name + " was deleted and the connector has to publish its task configs again"
}
