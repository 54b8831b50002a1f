package desired

import (
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// While a new spec is held back, the pods run with the accepted spec, which the API no longer holds. The StatefulSets
// record it: their pod templates, and what observed.Recorded describes. tasks.max itself needs no validation: its
// changes apply to the accepted configuration.

// maxTasks is the upper bound of tasks.max. It applies if a StatefulSet does not record the accepted tasks.max.
const maxTasks = 1000

// AcceptedSpec is the spec with which the pods run, as far as it is known.
type AcceptedSpec struct {
	// Effective is the effective spec with the generation and tasks.max of the accepted configuration.
	spec.Effective
	// IsRecorded is true if the connector's StatefulSet records the accepted configuration.
	IsRecorded bool
	// IsSecretLost is true if the Secret `<connector>-connector` was deleted and cannot be written again, because the spec
	// differs from the accepted one, which only the Secret held.
	IsSecretLost bool
}

// Accepted returns the accepted spec. The builder is that of the spec in the API.
func (b Builder) Accepted(recorded observed.Recorded) AcceptedSpec {
	s, e := b.state, b.spec
	if !recorded.Exists {
		return AcceptedSpec{Effective: e}
	}
	tasksMax := maxTasks
	if recorded.HasTasksMax {
		tasksMax = recorded.TasksMax
	}
	a := AcceptedSpec{
		Effective:  e.WithGeneration(recorded.Generation, tasksMax),
		IsRecorded: recorded.Generation != "", IsSecretLost: b.isSecretLost(recorded),
	}
	if recorded.HasTasksMax && !a.IsSecretLost && (tasksMax != e.TasksMax || s.Objects.ConnectorSecret == nil) {
		config := s.AcceptedConfig
		if config == nil {
			config = e.ConnectorConfig
		}
		if scaled, ok := e.WithAcceptedConfig(config, recorded.ConfigKey); ok {
			a.Effective = scaled
		}
	}
	return a
}

func (b Builder) isSecretLost(recorded observed.Recorded) bool {
	o := b.state.Objects
	if o.ConnectorSecret != nil {
		return false
	}
	if recorded.ConfigKey != b.spec.CandidateKey() ||
		o.ConnectorSet.Spec.Template.Annotations[annotationConfigHash] != b.connector.configHash() {
		return true
	}
	return b.state.Ownership(o.TaskSet) == observed.Owned &&
		o.TaskSet.Spec.Template.Annotations[annotationConfigHash] != b.tasks.configHash()
}

// NeedsAcceptedConfig reports whether tasks.max differs from the accepted one, and another part of the Secret
// `<connector>-connector` differs too, so that the spec does not tell the accepted configuration.
func (b Builder) NeedsAcceptedConfig() bool {
	recorded := b.state.Recorded()
	return recorded.HasTasksMax && recorded.TasksMax != b.spec.TasksMax &&
		(recorded.ConfigKey != b.spec.CandidateKey() || b.hasOtherRunnerFiles())
}

// scaleAccepted gives the connector's StatefulSet the generation and the tasks.max of the accepted configuration after
// a change of tasks.max.
func scaleAccepted(set *appsv1ac.StatefulSetApplyConfiguration, e spec.Effective) {
	set.WithAnnotations(map[string]string{observed.AnnotationAcceptedTasksMax: strconv.Itoa(e.TasksMax)})
	template := set.Spec.Template
	for i := range template.Spec.Containers {
		for j := range template.Spec.Containers[i].Env {
			if v := &template.Spec.Containers[i].Env[j]; *v.Name == contract.EnvConfigGeneration {
				v.WithValue(e.Generation())
			}
		}
	}
	template.Annotations[AnnotationTemplateHash] = templateHash(template)
}

// CanFollow reports whether the pods of the accepted spec can start while finding holds back a new spec. They cannot if
// an object with a derived name has another owner, or if the worker Secret that they mount does not exist.
func (a AcceptedSpec) CanFollow(s observed.State, finding spec.Finding) bool {
	if !a.IsRecorded {
		return false
	}
	switch finding.Reason {
	case connectv1.ReasonWorkerSecretNotFound, connectv1.ReasonWorkerKeyMissing:
		for _, v := range s.Objects.ConnectorSet.Spec.Template.Spec.Volumes {
			if v.Name == volumeWorker && v.Secret != nil && v.Secret.SecretName == a.WorkerSecret {
				return false
			}
		}
	}
	return spec.NamesAreFree(s, a.Effective)
}

// Follow returns the writes while a new spec is held back, and the StatefulSets of the accepted spec. Numbers of
// replicas and hashes of task configs change; pod templates do not. The builder is that of the accepted spec.
func (b Builder) Follow(set taskset.Set) (Writes, Sets, error) {
	want, fromSpec := b.supporting(), b.sets(set)
	s, e, o := b.state, b.spec, b.state.Objects
	c := comparison{cache: s.Comparisons}
	// These objects do not depend on the part of the spec that is held back.
	w := Writes{
		ServiceAccounts: outdated(&c, o.ServiceAccount, want.serviceAccount, corev1ac.ExtractServiceAccount),
		Roles:           outdated(&c, o.Role, want.role, rbacv1ac.ExtractRole),
		RoleBindings:    outdated(&c, o.RoleBinding, want.roleBinding, rbacv1ac.ExtractRoleBinding),
		Secrets:         outdatedSecret(&c, o.TaskConfigs, want.taskConfigs),

		ObsoleteConfigMaps: obsoleteConfigMaps(s),
	}
	connector, err := extractSet(o.ConnectorSet)
	if err != nil {
		return Writes{}, Sets{}, err
	}
	connector.Spec.WithReplicas(connectorReplicas(e))
	if e.IsConfigKnown() {
		keepRunnerFiles(s, want.connectorSecret.Data)
		w.Secrets = append(outdatedSecret(&c, o.ConnectorSecret, want.connectorSecret), w.Secrets...)
		scaleAccepted(connector, e)
	}
	sets := Sets{Connector: connector, Tasks: fromSpec.Tasks}
	if o.TaskSet != nil {
		w.Budgets = outdated(&c, o.Budget, want.budget, policyv1ac.ExtractPodDisruptionBudget)
		replicas, hashes := sets.Tasks.Spec.Replicas, sets.Tasks.Spec.Template.Annotations[contract.AnnotationTaskHashes]
		if sets.Tasks, err = extractSet(o.TaskSet); err != nil {
			return Writes{}, Sets{}, err
		}
		sets.Tasks.Spec.WithReplicas(*replicas)
		sets.Tasks.Spec.Template.WithAnnotations(map[string]string{contract.AnnotationTaskHashes: hashes})
		record(set, sets.Tasks)
	}
	w.StatefulSets = outdated(&c, o.ConnectorSet, sets.Connector, appsv1ac.ExtractStatefulSet)
	// Before the first publication no template of the tasks is accepted. The tasks start if only connectorConfig is held
	// back, because it is not part of their template.
	isPublished := set.Condition.Status == metav1.ConditionTrue
	if o.TaskSet != nil || isPublished && hasTemplate(connector, fromSpec.Connector) {
		w.StatefulSets = slices.Concat(w.StatefulSets, outdated(&c, o.TaskSet, sets.Tasks, appsv1ac.ExtractStatefulSet))
	}
	sets.Creates = c.creates
	return w, sets, c.err
}

// extractSet returns the fields of a StatefulSet that connect-scheduler manages.
func extractSet(live *appsv1.StatefulSet) (*appsv1ac.StatefulSetApplyConfiguration, error) {
	set, err := appsv1ac.ExtractStatefulSet(live, observed.Manager)
	if err != nil {
		return nil, err
	}
	if set.Spec == nil || set.Spec.Template == nil || set.Spec.Template.Spec == nil {
		return nil, fmt.Errorf("StatefulSet %s: %s does not manage the pod template; delete the StatefulSet",
			live.Name, observed.Manager)
	}
	return set, nil
}

// hasTemplate reports whether a StatefulSet has the pod template of another one.
func hasTemplate(set, other *appsv1ac.StatefulSetApplyConfiguration) bool {
	template := set.Spec.Template
	return MatchesTemplate(
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels, Annotations: template.Annotations}},
		other.Spec.Template)
}

// acceptedPod returns the pod spec of the connector's StatefulSet, or nil if there is none.
func acceptedPod(s observed.State) *corev1ac.PodSpecApplyConfiguration {
	if s.Ownership(s.Objects.ConnectorSet) != observed.Owned {
		return nil
	}
	set, err := extractSet(s.Objects.ConnectorSet)
	if err != nil {
		return nil
	}
	return set.Spec.Template.Spec
}
