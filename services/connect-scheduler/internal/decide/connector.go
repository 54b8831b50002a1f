package decide

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/event"
)

// Plan is what to do, in the order of its fields but for the status, which is told before anything is Done. It is empty but for
// the status when nothing is to be done.
type Plan struct {
	ServiceAccounts []*corev1ac.ServiceAccountApplyConfiguration
	Roles           []*rbacv1ac.RoleApplyConfiguration
	RoleBindings    []*rbacv1ac.RoleBindingApplyConfiguration
	Secrets         []*corev1ac.SecretApplyConfiguration
	ConfigMaps      []*corev1ac.ConfigMapApplyConfiguration
	Claims          []*corev1ac.PersistentVolumeClaimApplyConfiguration
	Budgets         []*policyv1ac.PodDisruptionBudgetApplyConfiguration
	Services        []*corev1ac.ServiceApplyConfiguration
	StatefulSets    []*appsv1ac.StatefulSetApplyConfiguration
	// OneShots are pods that run one operation of connect-runner and end.
	OneShots []*corev1ac.PodApplyConfiguration
	// FinishedOneShots are one-shot pods that are no longer needed.
	FinishedOneShots []*corev1.Pod
	// Unwanted are Services that the spec no longer asks for.
	Unwanted []*corev1.Service
	// Mark are pods to be marked for a restart that an annotation on the KafkaConnector asks for.
	Mark []*corev1.Pod
	// Done are annotations on the KafkaConnector that are to be removed.
	Done []string
	// Restarts are pods to be deleted.
	Restarts []Restart
	// Status is what is to be told.
	Status connectv1.KafkaConnectorStatus

	before connectv1.KafkaConnectorStatus
	// creates holds when an object is made that was not there. Its arrival brings the next decision at once, which has more to
	// tell: one write of the status less for each step on the way to Ready. What became of a request is told nevertheless.
	creates bool
}

// Connector decides about one KafkaConnector.
func Connector(s State) (Plan, error) {
	plan := Plan{before: s.Connector.Status, Status: s.Connector.Status}
	if s.Connector.DeletionTimestamp != nil {
		// All that was made is owned: the garbage collector takes it.
		return plan, nil
	}
	e := effectiveOf(s.Connector, s.Connect)
	invalid := firstFinding(s, e)
	if invalid == nil {
		invalid = plan.validate(s, e)
	}
	set := published(s, e)
	rolling := 0
	var err error
	if invalid != nil {
		err = plan.hold(s, e)
	} else {
		rolling, err = plan.pursue(s, e, &set)
	}
	if err != nil {
		return Plan{}, fmt.Errorf("compare KafkaConnector %s/%s with what is there: %w", s.Connector.Namespace, s.Connector.Name, err)
	}
	plan.Mark, plan.Done = requests(s)
	plan.Status = status(s, e, invalid, set, rolling)
	plan.Status.Offsets = plan.offsets(s, e)
	return plan, nil
}

// hold leaves everything as it is while the input cannot be used, but still stops what is to be stopped.
func (p *Plan) hold(s State, e effective) error {
	for _, live := range []struct {
		set  *appsv1.StatefulSet
		stop bool
	}{{s.Live.ConnectorSet, e.connectorReplicas == 0}, {s.Live.TaskSet, !e.tasksRun}} {
		if !live.stop || live.set == nil || s.belongs(live.set) != ours || live.set.Spec.Replicas != nil && *live.set.Spec.Replicas == 0 {
			continue
		}
		held, err := appsv1ac.ExtractStatefulSet(live.set, Manager)
		if err != nil {
			return err
		}
		if held.Spec == nil {
			continue
		}
		held.Spec.WithReplicas(0)
		p.StatefulSets = append(p.StatefulSets, held)
	}
	return nil
}

// pursue plans what brings the world closer to the spec, and tells how many pods still have to be replaced.
func (p *Plan) pursue(s State, e effective, set *taskSet) (rolling int, err error) {
	want := surroundings(s, e)
	c := collector{memory: s.Compared}
	p.ServiceAccounts = differing(&c, s.Live.ServiceAccount, want.serviceAccount, corev1ac.ExtractServiceAccount)
	p.Roles = differing(&c, s.Live.Role, want.role, rbacv1ac.ExtractRole)
	p.RoleBindings = differing(&c, s.Live.RoleBinding, want.roleBinding, rbacv1ac.ExtractRoleBinding)
	p.Secrets = slices.Concat(p.Secrets, secretDiffers(&c, s.Live.ConnectorSecret, want.connectorSecret), secretDiffers(&c, s.Live.TaskConfigs, want.taskConfigs))
	p.ConfigMaps = append(differing(&c, s.Live.ConnectorConfig, want.connectorConfig, corev1ac.ExtractConfigMap),
		differing(&c, s.Live.TaskRunnerConfig, want.taskRunnerConfig, corev1ac.ExtractConfigMap)...)
	// Kubernetes reports a budget that covers no pods, so it comes after what makes them.
	if s.Live.TaskSet != nil {
		p.Budgets = differing(&c, s.Live.Budget, want.budget, policyv1ac.ExtractPodDisruptionBudget)
	}
	for _, service := range []struct {
		live *corev1.Service
		want *corev1ac.ServiceApplyConfiguration
	}{{s.Live.ConnectorService, want.connectorService}, {s.Live.TaskService, want.taskService}, {s.Live.TaskHeadless, want.taskHeadless}} {
		if service.want != nil {
			p.Services = append(p.Services, differing(&c, service.live, service.want, corev1ac.ExtractService)...)
		} else if s.belongs(service.live) == ours {
			p.Unwanted = append(p.Unwanted, service.live)
		}
	}
	if e.storage != nil && s.Connect == nil {
		if claim := s.claimOwner(e).claim(s.Claim); claim != nil {
			p.Claims = differing(&c, s.Claim, claim, corev1ac.ExtractPersistentVolumeClaim)
		}
	}
	if waits := p.fence(s, e, *set); waits != nil {
		set.condition = condition.False(connectv1.ConditionTaskConfigsPublished, waits.reason, waits.message)
		set.hashes, e.tasksRun = running(s), false
	}
	connector, tasks := connectorSet(s, e), tasksSet(s, e, set.hashes)
	p.StatefulSets = differing(&c, s.Live.ConnectorSet, connector, appsv1ac.ExtractStatefulSet)
	// Without anything published yet there is nothing to make the tasks' StatefulSet of.
	if s.Live.TaskSet != nil || set.condition.Status == metav1.ConditionTrue {
		p.StatefulSets = slices.Concat(p.StatefulSets, differing(&c, s.Live.TaskSet, tasks, appsv1ac.ExtractStatefulSet))
	}

	connectorHash, taskHash := connector.Spec.Template.Annotations[annotationTemplateHash], tasks.Spec.Template.Annotations[annotationTemplateHash]
	if settled(s.Live.ConnectorSet, connector) {
		p.Restarts = append(p.Restarts, restartConnector(s, connectorHash)...)
	}
	if settled(s.Live.TaskSet, tasks) {
		p.Restarts = append(p.Restarts, restartTasks(s, e, taskHash, set.hashes)...)
	}
	p.creates = c.absent
	return former(s, connectorHash, taskHash, set.hashes, int(taskReplicas(e, set.hashes))), c.err
}

// settled tells whether the StatefulSet controller has taken in the template that is wanted: a pod deleted earlier could come
// back as it was.
func settled(live *appsv1.StatefulSet, want *appsv1ac.StatefulSetApplyConfiguration) bool {
	if live == nil || live.Status.ObservedGeneration < live.Generation {
		return false
	}
	for _, annotation := range []string{annotationTemplateHash, contract.AnnotationTaskHashes} {
		if live.Spec.Template.Annotations[annotation] != want.Spec.Template.Annotations[annotation] {
			return false
		}
	}
	return true
}

// former counts the pods that still have to be replaced.
func former(s State, connectorHash, taskHash string, hashes []string, replicas int) int {
	count := 0
	for _, pod := range podsOf(s.Pods, contract.TypeConnector) {
		if outdated(s, pod, connectorHash, "") != "" {
			count++
		}
	}
	for id, pod := range podsOf(s.Pods, contract.TypeTask) {
		if id < replicas && outdated(s, pod, taskHash, hashes[id]) != "" {
			count++
		}
	}
	return count
}

// collector keeps the first error of a row of comparisons, and whether any object was not there.
type collector struct {
	memory *apply.ComparisonCache
	err    error
	absent bool
}

// differing returns want if it is not what is there.
func differing[C any, O metav1.Object](c *collector, live O, want C, extract func(O, string) (C, error)) []C {
	if isNil(live) {
		c.absent = true
		return []C{want}
	}
	upToDate, err := c.memory.UpToDate(live, want, func() (bool, error) { return apply.UpToDate(live, want, Manager, extract) })
	if err != nil && c.err == nil {
		c.err = err
	}
	if upToDate {
		return nil
	}
	return []C{want}
}

// Failure is a write that the API refused.
type Failure struct {
	// Kind and Name of the object.
	Kind, Name string
	Err        error
}

func (f Failure) Error() string { return fmt.Sprintf("apply %s %s: %v", f.Kind, f.Name, f.Err) }

// Unwrap returns the API's own error.
func (f Failure) Unwrap() error { return f.Err }

// Fail tells of a write that failed in the status.
func (p *Plan) Fail(s State, f Failure) {
	p.creates = false
	for i, c := range p.Status.Conditions {
		if c.Type == connectv1.ConditionReady || c.Type == connectv1.ConditionStorageReady && f.Kind == "PersistentVolumeClaim" {
			failed := condition.False(c.Type, connectv1.ReasonApplyRejected, f.Error())
			p.Status.Conditions[i] = condition.Merge(p.before.Conditions, []metav1.Condition{failed}, s.Connector.Generation, s.Now)[0]
		}
	}
}

// StatusChanged tells whether the status has to be written.
func (p *Plan) StatusChanged() bool {
	return (!p.creates || len(p.Done) > 0) && !equality.Semantic.DeepEqual(p.before, p.Status)
}

// Events are what people are told once the plan is carried out.
func (p *Plan) Events() []event.Event {
	var told []event.Event
	for _, r := range p.Restarts {
		told = append(told, event.Normal(connectv1.ReasonRestarting, "Restart", fmt.Sprintf("restarting pod %s: %s", r.Pod.Name, r.Why)))
	}
	if p.StatusChanged() {
		told = append(told, news(p.before, p.Status)...)
	}
	return told
}

// Empty tells whether there is nothing to write but, perhaps, the status.
func (p *Plan) Empty() bool {
	return len(p.ServiceAccounts)+len(p.Roles)+len(p.RoleBindings)+len(p.Secrets)+len(p.ConfigMaps)+len(p.Claims)+len(p.Budgets)+
		len(p.Services)+len(p.StatefulSets)+len(p.OneShots)+len(p.FinishedOneShots)+len(p.Unwanted)+len(p.Mark)+len(p.Done)+len(p.Restarts) == 0
}
