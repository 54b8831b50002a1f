package desired

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Writes lists the objects to apply and to delete, in the order of the fields. Objects that are up to date are left
// out.
type Writes struct {
	ServiceAccounts []*corev1ac.ServiceAccountApplyConfiguration
	Roles           []*rbacv1ac.RoleApplyConfiguration
	RoleBindings    []*rbacv1ac.RoleBindingApplyConfiguration
	Secrets         []*corev1ac.SecretApplyConfiguration
	Claims          []*corev1ac.PersistentVolumeClaimApplyConfiguration
	Budgets         []*policyv1ac.PodDisruptionBudgetApplyConfiguration
	Services        []*corev1ac.ServiceApplyConfiguration
	StatefulSets    []*appsv1ac.StatefulSetApplyConfiguration
	// ObsoleteServices are Services that the spec no longer asks for.
	ObsoleteServices []*corev1.Service
	// ObsoleteConfigMaps are ConfigMaps of an older version that no pod mounts any more.
	ObsoleteConfigMaps []*corev1.ConfigMap
}

// Len returns the number of writes.
func (w Writes) Len() int {
	return len(w.ServiceAccounts) + len(w.Roles) + len(w.RoleBindings) + len(w.Secrets) + len(w.Claims) +
		len(w.Budgets) + len(w.Services) + len(w.StatefulSets) + len(w.ObsoleteServices) + len(w.ObsoleteConfigMaps)
}

// StatefulSetsByOrder divides the StatefulSets into those that can be written at the same time as the objects that
// their pods mount, and those that must be written after them. A pod waits for an object that does not exist, but it
// would read the previous content of an object that is about to change. So a StatefulSet is early only if it is new
// and no mounted object is updated.
func (w Writes) StatefulSetsByOrder(o observed.Objects) (early, late []*appsv1ac.StatefulSetApplyConfiguration) {
	type key struct{ kind, name string }
	existing := map[key]bool{}
	for _, object := range o.Managed() {
		existing[key{object.Kind, object.GetName()}] = true
	}
	for _, secret := range w.Secrets {
		if existing[key{"Secret", *secret.Name}] {
			return nil, w.StatefulSets
		}
	}
	for _, set := range w.StatefulSets {
		if existing[key{"StatefulSet", *set.Name}] {
			late = append(late, set)
		} else {
			early = append(early, set)
		}
	}
	return early, late
}

// Sets are the desired StatefulSets.
type Sets struct {
	Connector, Tasks *appsv1ac.StatefulSetApplyConfiguration
	// Creates is true if an object is created. Its watch event triggers the next reconcile.
	Creates bool
}

// Sync returns the writes that make the observed objects match the spec, and the desired StatefulSets.
func (b Builder) Sync(set taskset.Set) (Writes, Sets, error) {
	want, sets := b.supporting(), b.sets(set)
	s, e, o := b.state, b.spec, b.state.Objects
	c := comparison{cache: s.Comparisons}
	w := Writes{
		ServiceAccounts: outdated(&c, o.ServiceAccount, want.serviceAccount, corev1ac.ExtractServiceAccount),
		Roles:           outdated(&c, o.Role, want.role, rbacv1ac.ExtractRole),
		RoleBindings:    outdated(&c, o.RoleBinding, want.roleBinding, rbacv1ac.ExtractRoleBinding),
		Secrets: slices.Concat(
			outdatedSecret(&c, o.ConnectorSecret, want.connectorSecret),
			outdatedSecret(&c, o.TaskConfigs, want.taskConfigs)),
		ObsoleteConfigMaps: obsoleteConfigMaps(s),
	}
	// Kubernetes emits events for a PodDisruptionBudget that selects no pods, so the StatefulSet is created first.
	if o.TaskSet != nil {
		w.Budgets = outdated(&c, o.Budget, want.budget, policyv1ac.ExtractPodDisruptionBudget)
	}
	for _, service := range []struct {
		live *corev1.Service
		want *corev1ac.ServiceApplyConfiguration
	}{
		{o.ConnectorService, want.connectorService}, {o.TaskService, want.taskService}, {o.TaskHeadless, want.taskHeadless},
	} {
		if service.want != nil {
			w.Services = append(w.Services, outdated(&c, service.live, service.want, corev1ac.ExtractService)...)
		} else if s.Ownership(service.live) == observed.Owned {
			w.ObsoleteServices = append(w.ObsoleteServices, service.live)
		}
	}
	// The claim of a KafkaConnect is written when the KafkaConnect is reconciled.
	if e.Volume != nil && s.Connect == nil {
		w.Claims = claimWrites(&c, e.Volume, s.Claim)
	}
	w.StatefulSets = outdated(&c, o.ConnectorSet, sets.Connector, appsv1ac.ExtractStatefulSet)
	// Before the first publication there are no hashes for the tasks' StatefulSet.
	if o.TaskSet != nil || set.Condition.Status == metav1.ConditionTrue {
		w.StatefulSets = slices.Concat(w.StatefulSets, outdated(&c, o.TaskSet, sets.Tasks, appsv1ac.ExtractStatefulSet))
	}
	sets.Creates = c.creates
	return w, sets, c.err
}

// SyncClaim returns the claim of a volume if it has to be written.
func SyncClaim(
	v *spec.Volume, live *corev1.PersistentVolumeClaim,
) ([]*corev1ac.PersistentVolumeClaimApplyConfiguration, error) {
	c := comparison{}
	claims := claimWrites(&c, v, live)
	return claims, c.err
}

func claimWrites(
	c *comparison, v *spec.Volume, live *corev1.PersistentVolumeClaim,
) []*corev1ac.PersistentVolumeClaimApplyConfiguration {
	claim := Claim(v, live)
	if claim == nil {
		return nil
	}
	return outdated(c, live, claim, corev1ac.ExtractPersistentVolumeClaim)
}

// Freeze keeps the observed objects while the spec is not valid. Scale-down to zero still applies.
func Freeze(current observed.Current, e spec.Effective) (Writes, error) {
	var w Writes
	for _, set := range []struct {
		live *appsv1.StatefulSet
		run  bool
	}{{current.ConnectorSet, e.RunConnector}, {current.TaskSet, e.RunTasks}} {
		if set.run || set.live == nil || set.live.Spec.Replicas != nil && *set.live.Spec.Replicas == 0 {
			continue
		}
		current, err := appsv1ac.ExtractStatefulSet(set.live, observed.Manager)
		if err != nil {
			return Writes{}, err
		}
		if current.Spec == nil {
			continue
		}
		current.Spec.WithReplicas(0)
		w.StatefulSets = append(w.StatefulSets, current)
	}
	return w, nil
}

// comparison collects the first error of several comparisons, and whether an object does not exist.
type comparison struct {
	cache   *apply.ComparisonCache
	err     error
	creates bool
}

// outdated returns want if the observed object does not match it.
func outdated[C any, O metav1.Object](c *comparison, live O, want C, extract func(O, string) (C, error)) []C {
	return outdatedBy(c, live, want, func() (bool, error) {
		return apply.UpToDate(live, want, observed.Manager, extract)
	})
}

// outdatedBy returns want if the observed object does not match it. upToDate compares them.
func outdatedBy[C any](c *comparison, live metav1.Object, want C, upToDate func() (bool, error)) []C {
	if observed.IsNil(live) {
		c.creates = true
		return []C{want}
	}
	matches, err := c.cache.UpToDate(live, want, upToDate)
	if err != nil && c.err == nil {
		c.err = err
	}
	if matches {
		return nil
	}
	return []C{want}
}

// outdatedSecret returns want if the observed Secret does not match it. The cache holds the hash of each value instead
// of the value, so outdatedSecret compares hashes.
func outdatedSecret(
	c *comparison, live *corev1.Secret, want *corev1ac.SecretApplyConfiguration,
) []*corev1ac.SecretApplyConfiguration {
	return outdatedBy(c, live, want, func() (bool, error) {
		hashed := *want
		hashed.Data = make(map[string][]byte, len(want.Data))
		for key, value := range want.Data {
			hashed.Data[key] = []byte(contract.TaskConfigHash(value))
		}
		return apply.UpToDate(live, &hashed, observed.Manager, corev1ac.ExtractSecret)
	})
}
