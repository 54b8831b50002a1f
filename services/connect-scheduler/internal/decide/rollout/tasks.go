package rollout

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

const (
	// startTimeout is the time after which a pod that is not ready counts as failed, even if it reports no error.
	startTimeout = 10 * time.Minute
	// stableAfter is how long a pod whose container has failed must be ready before a new template rolls out further.
	stableAfter = 30 * time.Second
)

// tasks are the pods of the tasks, sorted by what a rollout can do with them.
type tasks struct {
	replicas int
	// maxUnavailable is the number of tasks that may be unavailable. It is at least 1.
	maxUnavailable int
	now            time.Time
	// broken are outdated pods that are not ready.
	broken []Restart
	// template and config are outdated pods that are ready. Pods in template need a new pod template. Pods in config
	// have the desired template: their task config has changed or their restart is requested.
	template, config []Restart
	// starting is the number of tasks that are not ready and can be expected to become ready.
	starting int
	// failed are pods that match the spec and fail. Waiting does not make them available.
	failed []*observed.Pod
	// unstable are ready pods that match the spec and whose container has failed a short time ago.
	unstable []*observed.Pod
	// recheck is the time at which one of the pods counts as failed or as stable.
	recheck time.Time
}

// sortTasks returns the pods of the tasks. outdated has the causes to restart.
func sortTasks(e spec.Effective, in Input, outdated map[*observed.Pod]string) *tasks {
	pods, replicas := in.Current.Pods, in.Tasks.Replicas()
	t := &tasks{replicas: replicas, maxUnavailable: maxUnavailable(e.MaxUnavailable, replicas), now: in.Current.Now}
	unmounted := unmountedClaim(pods.Connector, e.Volume)
	for id := range replicas {
		pod := pods.Tasks[id]
		switch {
		case pod == nil:
			t.starting++
		case unmounted != "" && pod.Labels[desired.LabelClaim] != unmounted && pod.DeletionTimestamp == nil:
			if !pod.Ready {
				t.starting++
			}
		default:
			t.add(pod, outdated[pod])
		}
	}
	if len(t.broken)+len(t.template)+len(t.config) == 0 {
		t.config = resizeRestart(in.Claim, pods, replicas)
	}
	return t
}

// maxUnavailable returns the number of tasks that may be unavailable. It is at least 1.
func maxUnavailable(bound intstr.IntOrString, replicas int) int {
	allowed, err := intstr.GetScaledValueFromIntOrPercent(&bound, replicas, true)
	if err != nil {
		allowed = 1
	}
	return max(1, allowed)
}

func (t *tasks) add(pod *observed.Pod, cause string) {
	switch {
	case pod.DeletionTimestamp != nil:
		// The pod of a lost node stays until the node comes back or is removed.
		t.addUnavailable(pod, pod.DeletionTimestamp.Add(startTimeout))
	case pod.Ready:
		switch cause {
		case causeTemplate:
			t.template = append(t.template, Restart{pod, cause})
		case "":
			if stable := stableAt(pod); stable.After(t.now) {
				t.unstable = append(t.unstable, pod)
				t.wakeAt(stable)
			}
		default:
			t.config = append(t.config, Restart{pod, cause})
		}
	case cause != "":
		t.broken = append(t.broken, Restart{pod, cause})
		t.starting++
	case pod.Spec.NodeName != "" && pod.LastError != "":
		t.failed = append(t.failed, pod)
	default:
		t.addUnavailable(pod, pod.CreationTimestamp.Add(startTimeout))
	}
}

// addUnavailable adds a pod that counts as failed after a deadline.
func (t *tasks) addUnavailable(pod *observed.Pod, deadline time.Time) {
	if !deadline.After(t.now) {
		t.failed = append(t.failed, pod)
		return
	}
	t.starting++
	t.wakeAt(deadline)
}

func (t *tasks) wakeAt(at time.Time) {
	if t.recheck.IsZero() || at.Before(t.recheck) {
		t.recheck = at
	}
}

// stableAt returns the time from which a ready pod no longer counts as unstable. It is zero if its container has never
// failed.
func stableAt(pod *observed.Pod) time.Time {
	ended := pod.Main.LastTerminationState.Terminated
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if ended == nil || ended.ExitCode == 0 || i < 0 {
		return time.Time{}
	}
	return pod.Status.Conditions[i].LastTransitionTime.Add(stableAfter)
}

// restarts returns the pods that restart now. Outdated pods that are not ready restart at once, because this makes no
// further task unavailable. Ready pods restart as long as at most maxUnavailable tasks are unavailable.
//
// A failed pod that matches the spec does not count against a change of task configs, so that each set of task configs
// reaches all tasks. It counts against a new template, so that for example an image that cannot start never takes down
// all tasks.
func (t *tasks) restarts() []Restart {
	spare := max(0, t.maxUnavailable-t.starting)
	config := t.config[:min(spare, len(t.config))]
	template := t.template[:min(max(0, spare-len(config)-len(t.failed)-len(t.unstable)), len(t.template))]
	return slices.Concat(t.broken, config, template)
}

// blocked describes why failed tasks stop the rollout of a new template. It is empty if they do not.
func (t *tasks) blocked() string {
	failed := slices.Concat(t.failed, t.unstable)
	if len(t.template) == 0 || len(failed) < t.maxUnavailable {
		return ""
	}
	cause := "it is not ready"
	if message := failed[0].LastError; message != "" {
		cause = message
	}
	return fmt.Sprintf("%d of %d tasks keep their previous pod template, because %d tasks fail and maxUnavailable is %d; "+
		"fix or revert the change; pod %s: %s",
		len(t.template), t.replicas, len(failed), t.maxUnavailable, failed[0].Name, cause)
}

// recheckAt returns the time at which a pod that other pods wait for counts as failed or as stable.
func (t *tasks) recheckAt() time.Time {
	if len(t.template)+len(t.config) == 0 {
		return time.Time{}
	}
	return t.recheck
}
