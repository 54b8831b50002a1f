package rollout

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

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
	pods     map[int]*observed.Pod
	replicas int
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

func observeTasks(s observed.State, e spec.Effective, replicas int, outdated outdatedPods) *tasks {
	t := &tasks{pods: s.Pods.Tasks, replicas: replicas}
	for id := range replicas {
		pod := t.pods[id]
		switch {
		case pod == nil:
			t.starting++
		case waitsForVolume(s, e, pod) && pod.DeletionTimestamp == nil:
			if !pod.Ready {
				t.starting++
			}
		default:
			t.add(s, pod, outdated.task(pod))
		}
	}
	return t
}

func (t *tasks) add(s observed.State, pod *observed.Pod, cause string) {
	switch {
	case pod.DeletionTimestamp != nil:
		// The pod of a lost node stays until the node comes back or is removed.
		t.addUnavailable(s, pod, pod.DeletionTimestamp.Add(startTimeout))
	case pod.Ready:
		switch cause {
		case causeTemplate:
			t.template = append(t.template, Restart{pod, cause})
		case "":
			if stable := stableAt(pod); stable.After(s.Now) {
				t.unstable = append(t.unstable, pod)
				t.recheckAt(stable)
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
		t.addUnavailable(s, pod, pod.CreationTimestamp.Add(startTimeout))
	}
}

// addUnavailable adds a pod that counts as failed after a deadline.
func (t *tasks) addUnavailable(s observed.State, pod *observed.Pod, deadline time.Time) {
	if !deadline.After(s.Now) {
		t.failed = append(t.failed, pod)
		return
	}
	t.starting++
	t.recheckAt(deadline)
}

func (t *tasks) recheckAt(at time.Time) {
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
func (t *tasks) restarts(s observed.State, e spec.Effective) []Restart {
	if len(t.broken)+len(t.template)+len(t.config) == 0 {
		t.config = resizeRestart(s, t.replicas)
	}
	spare := max(0, maxUnavailable(e.MaxUnavailable, t.replicas)-t.starting)
	config := t.config[:min(spare, len(t.config))]
	template := t.template[:min(max(0, spare-len(config)-len(t.failed)-len(t.unstable)), len(t.template))]
	return slices.Concat(t.broken, config, template)
}

// blocked describes why failed tasks stop the rollout of a new template. It is empty if they do not.
func (t *tasks) blocked(e spec.Effective) string {
	failed, bound := slices.Concat(t.failed, t.unstable), maxUnavailable(e.MaxUnavailable, t.replicas)
	if len(t.template) == 0 || len(failed) < bound {
		return ""
	}
	cause := "it is not ready"
	if message := failed[0].LastError; message != "" {
		cause = message
	}
	return fmt.Sprintf("%d of %d tasks keep their previous pod template, because %d tasks fail and maxUnavailable is %d; "+
		"fix or revert the change; pod %s: %s", len(t.template), t.replicas, len(failed), bound, failed[0].Name, cause)
}

// requeueAfter returns the time after which a pod that other pods wait for counts as failed or as stable.
func (t *tasks) requeueAfter(s observed.State) time.Duration {
	if len(t.template)+len(t.config) == 0 || t.recheck.IsZero() {
		return 0
	}
	return t.recheck.Sub(s.Now)
}
