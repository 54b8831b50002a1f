package observed

import (
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/apis/contract"
)

// Annotations on the connector's StatefulSet.
const (
	// AnnotationAccepted identifies the configuration that the plugin has accepted.
	AnnotationAccepted = "weir.dev/accepted-config"
	// AnnotationAcceptedTasksMax is the tasks.max of this configuration. An older version has not written it.
	AnnotationAcceptedTasksMax = "weir.dev/accepted-tasks-max"
)

// Annotations on the tasks' StatefulSet.
const (
	// AnnotationHistory describes the last set of task configs that has rolled out, as JSON. An older version has not
	// written it before the first change.
	AnnotationHistory = "weir.dev/task-configs-history"
	// AnnotationPreviousTasks of a sink is the number of tasks before a scale-down, until the static members of the
	// deleted tasks are removed from the consumer group.
	AnnotationPreviousTasks = "weir.dev/previous-tasks"
)

// Current describes the StatefulSets, pods and published task configs of a connector. It is read from the
// State once per decision. The steps that validate the spec and compare objects use the State, the others use Current.
type Current struct {
	// Pods are the pods of the connector and its tasks, and one-shot pods.
	Pods Pods
	// ConnectorSet and TaskSet are the StatefulSets. A StatefulSet of another owner is left out.
	ConnectorSet, TaskSet *appsv1.StatefulSet
	// Recorded is what ConnectorSet records about the accepted spec.
	Recorded Recorded
	// Running are the tasks that run according to TaskSet.
	Running Running
	// Published are the task configs that the connector has published.
	Published Published
	// Candidate is the Secret with the configuration under validation.
	Candidate *corev1.Secret
	// IsStopped is true if no pod of the connector or its tasks exists and the StatefulSet controller creates none.
	IsStopped bool
	// Now is the time of the decision, Timestamp the same time in the resolution of the API.
	Now       time.Time
	Timestamp metav1.Time
}

// Current returns the StatefulSets, pods and published task configs that exist.
func (s State) Current() Current {
	o := s.Objects
	current := Current{
		Pods: s.Pods, Recorded: s.Recorded(), Published: publishedBy(s), Candidate: o.Candidate,
		IsStopped: len(s.Pods.Workload) == 0 && isScaledDown(o.ConnectorSet) && isScaledDown(o.TaskSet),
		Now:       s.Now, Timestamp: metav1.NewTime(s.Now).Rfc3339Copy(),
	}
	if s.Ownership(o.ConnectorSet) == Owned {
		current.ConnectorSet = o.ConnectorSet
	}
	if s.Ownership(o.TaskSet) == Owned {
		current.TaskSet, current.Running = o.TaskSet, runningIn(o.TaskSet)
	}
	return current
}

// isScaledDown reports whether the StatefulSet controller has observed the scale-down to 0 and the end of all pods.
func isScaledDown(set *appsv1.StatefulSet) bool {
	return set == nil || set.Spec.Replicas != nil && *set.Spec.Replicas == 0 &&
		set.Status.ObservedGeneration >= set.Generation && set.Status.Replicas == 0
}

// Recorded is what the connector's StatefulSet records about the spec with which the pods run. It is empty if the
// StatefulSet does not exist or has another owner.
type Recorded struct {
	// Exists is true if the StatefulSet exists.
	Exists bool
	// ConfigKey is the value of AnnotationAccepted, see spec.Effective.CandidateKey.
	ConfigKey string
	// Generation of the configuration, see spec.Effective.Generation.
	Generation string
	// TasksMax is the value of AnnotationAcceptedTasksMax. It has no meaning if HasTasksMax is false.
	TasksMax    int
	HasTasksMax bool
}

// Recorded returns what the connector's StatefulSet records.
func (s State) Recorded() Recorded {
	set := s.Objects.ConnectorSet
	if s.Ownership(set) != Owned {
		return Recorded{}
	}
	tasksMax, err := strconv.Atoi(set.Annotations[AnnotationAcceptedTasksMax])
	return Recorded{
		Exists:     true,
		ConfigKey:  set.Annotations[AnnotationAccepted],
		Generation: EnvOf(set, contract.TypeConnector, contract.EnvConfigGeneration),
		TasksMax:   tasksMax, HasTasksMax: err == nil,
	}
}

// EnvOf returns the value of an environment variable in the pod template of a StatefulSet.
func EnvOf(set *appsv1.StatefulSet, container, name string) string {
	for _, c := range set.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if c.Name == container && v.Name == name {
				return v.Value
			}
		}
	}
	return ""
}

// Running is what the tasks' StatefulSet tells about the running tasks.
type Running struct {
	// Exists is true if the StatefulSet exists.
	Exists bool
	// Hashes of the task configs in the pod template, by task id.
	Hashes []string
	// Replicas is the number of replicas.
	Replicas int
	// History is the value of AnnotationHistory. It is empty before the first change.
	History string
	// Previous is the value of AnnotationPreviousTasks. It is 0 if no static member has to be removed.
	Previous int
}

func runningIn(set *appsv1.StatefulSet) Running {
	previous, err := strconv.Atoi(set.Annotations[AnnotationPreviousTasks])
	if err != nil {
		previous = 0
	}
	return Running{
		Exists:   true,
		Hashes:   SplitHashes(set.Spec.Template.Annotations[contract.AnnotationTaskHashes]),
		Replicas: int(ptr.Deref(set.Spec.Replicas, 1)),
		History:  set.Annotations[AnnotationHistory],
		Previous: previous,
	}
}

// SplitHashes splits the value of contract.AnnotationTaskHashes.
func SplitHashes(annotation string) []string {
	if annotation == "" {
		return nil
	}
	return slices.Clip(strings.Split(annotation, ","))
}

// Published is what the Secret `<connector>-tasks` tells about the connector, even if its task configs cannot be used.
type Published struct {
	// Secret describes the Secret. It is nil if the Secret does not exist.
	*Secret
	// Name of the Secret.
	Name string
	// Created is the time at which the Secret was created. It is zero if the Secret does not exist or has another owner.
	Created metav1.Time
	// Exists is true if the connector has published task configs in the Secret that exists now.
	Exists bool
	// Sink and ExactlyOnce describe the connector.
	Sink, ExactlyOnce bool
	// Tasks is the number of task configs. It is 0 if the number is not valid.
	Tasks int
}

func publishedBy(s State) Published {
	p := Published{Secret: s.TaskConfigs, Name: TasksName(s.Connector.Name)}
	if s.Ownership(s.Objects.TaskConfigs) == Owned {
		p.Created = s.Objects.TaskConfigs.CreationTimestamp
	}
	if p.Secret == nil {
		return p
	}
	count := p.Annotations[contract.AnnotationTaskCount]
	tasks, err := strconv.Atoi(count)
	if err != nil {
		tasks = 0
	}
	p.Exists, p.Tasks = count != "", tasks
	p.Sink = p.Annotations[contract.AnnotationConnectorType] == contract.ConnectorTypeSink
	p.ExactlyOnce = p.Annotations[contract.AnnotationExactlyOnce] == "true"
	return p
}
