package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

type specChange = func(*drainv1alpha1.KafkaDrainPolicySpec)

func policy(mode drainv1alpha1.Mode, change ...specChange) *drainv1alpha1.KafkaDrainPolicy {
	p := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "brokers"}}
	p.Spec = drainv1alpha1.KafkaDrainPolicySpec{
		Role: drainv1alpha1.RoleBroker, Mode: mode, MaxConcurrent: 1, OnDeadline: drainv1alpha1.OnDeadlineDeny,
	}
	if mode == drainv1alpha1.ModeSelfCheck {
		p.Spec.BootstrapServers = "kafka:9092"
	}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func named(name string, p *drainv1alpha1.KafkaDrainPolicy) *drainv1alpha1.KafkaDrainPolicy {
	p.Name = name
	return p
}

func policies(p ...*drainv1alpha1.KafkaDrainPolicy) []*drainv1alpha1.KafkaDrainPolicy { return p }

func deadline(d time.Duration, action drainv1alpha1.DeadlineAction) specChange {
	return func(s *drainv1alpha1.KafkaDrainPolicySpec) {
		s.DrainDeadline, s.OnDeadline = &metav1.Duration{Duration: d}, action
	}
}

func concurrent(n int32) specChange {
	return func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.MaxConcurrent = n }
}

func bootstrap(s *drainv1alpha1.KafkaDrainPolicySpec) { s.BootstrapServers = "kafka:9092" }

func uncordoned(s *drainv1alpha1.KafkaDrainPolicySpec) { s.RequireNodeCordoned = ptr(false) }

func keepLocalVolumes(s *drainv1alpha1.KafkaDrainPolicySpec) {
	s.LocalVolumePolicy = drainv1alpha1.LocalVolumeDeny
}

func connect(s *drainv1alpha1.KafkaDrainPolicySpec) {
	s.Role, s.BootstrapServers = drainv1alpha1.RoleConnect, ""
}

func healthy() *decide.Cluster { return cluster(isr(1, 2, 3)) }

var underReplicated = cluster(isr(1, 2))

func ptr[T any](v T) *T { return &v }

func TestDecidesByThePolicyOfThePod(t *testing.T) {
	t.Parallel()
	const (
		delegate, selfCheck, observe = drainv1alpha1.ModeDelegate, drainv1alpha1.ModeSelfCheck, drainv1alpha1.ModeObserve
		allowLate, denyLate          = drainv1alpha1.OnDeadlineAllow, drainv1alpha1.OnDeadlineDeny
	)
	other := decide.Holder{
		Namespace: "kafka", Pod: "my-cluster-kafka-2", UID: "uid-2", BrokerID: ptr(int32(2)), Since: noon,
	}
	foreign := decide.Holder{
		Namespace: "staging", Pod: "kafka-2", UID: "uid-3", BrokerID: ptr(int32(2)), Policy: "kafka", Since: noon,
	}
	requested := strimziPod(func(p *decide.Pod) { p.RollRequested = true }, drainingSince(6*time.Minute))
	for name, test := range map[string]struct {
		given
		policy  *drainv1alpha1.KafkaDrainPolicy
		healthy bool
		allow   bool
		roll    bool
		overdue bool
		reason  decide.Reason
		message string
	}{
		"two active policies for one pod are denied and named": {
			given:  given{policies: policies(policy(delegate), named("others", policy(selfCheck)))},
			reason: drainv1alpha1.ReasonPoliciesOverlap, message: "brokers, others",
		},
		"a policy of mode Observe may overlap with an active one": {
			given: given{policies: policies(named("a", policy(observe)), policy(delegate))},
			roll:  true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"a forged review has no effect on a healthy node": {
			policy: policy(delegate), healthy: true,
			reason: drainv1alpha1.ReasonNodeNotCordoned, message: "kubectl cordon node-1",
		},
		"no deadline allows the eviction from a healthy node": {
			policy: policy(selfCheck, deadline(time.Minute, allowLate)), healthy: true,
			given:  given{pod: strimziPod(drainingSince(time.Hour)), cluster: underReplicated},
			reason: drainv1alpha1.ReasonNodeNotCordoned,
		},
		"a policy may turn the cordon check off": {
			policy: policy(delegate, uncordoned), healthy: true, roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"a pod with a local volume stays if the policy says so": {
			policy: policy(delegate, keepLocalVolumes),
			given: given{volumes: []string{"data-0"},
				pod: strimziPod(func(p *decide.Pod) { p.Claims = []string{"data-0"} })},
			reason: drainv1alpha1.ReasonPodPinnedToNode, message: "data-0",
		},
		"a pod with a local volume is evicted by default": {
			policy: policy(delegate), given: given{volumes: []string{"data-0"}},
			roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"Delegate asks the operator": {
			policy: policy(delegate),
			roll:   true, reason: drainv1alpha1.ReasonRollRequested, message: decide.MessageRolledByStrimzi,
		},
		"Delegate queries Kafka if the operator does not act": {
			policy: policy(delegate, bootstrap), given: given{pod: requested, cluster: healthy(), claimed: true},
			allow: true, reason: drainv1alpha1.ReasonSafe,
		},
		"Delegate reports that the operator does not act if it cannot query Kafka": {
			policy: policy(delegate), given: given{pod: requested},
			reason: drainv1alpha1.ReasonOperatorDown, message: "check that its operator runs",
		},
		"SelfCheck allows an eviction that affects nothing": {
			policy: policy(selfCheck), given: given{cluster: healthy(), claimed: true},
			allow: true, reason: drainv1alpha1.ReasonSafe,
		},
		"SelfCheck denies while a partition is under-replicated": {
			policy: policy(selfCheck), given: given{cluster: cluster(isr(1, 2), min1)},
			reason: drainv1alpha1.ReasonUnderReplicated, message: "orders-0",
		},
		"SelfCheck denies while another pod is replaced": {
			policy: policy(selfCheck),
			given: given{cluster: cluster(isr(1, 2, 3), min1, replicas(1, 3), isr(1, 3)),
				holders: []decide.Holder{other}},
			reason: drainv1alpha1.ReasonAnotherDrain, message: "my-cluster-kafka-2",
		},
		"a broker whose eviction was allowed counts as unavailable": {
			policy:  policy(selfCheck, concurrent(2)),
			given:   given{cluster: healthy(), holders: []decide.Holder{other}, claimed: true},
			reason:  drainv1alpha1.ReasonAnotherDrain,
			message: "waiting until kafka/my-cluster-kafka-2 is replaced and in sync",
		},
		"SelfCheck denies while another broker does not answer": {
			policy: policy(selfCheck), given: given{cluster: silent(healthy(), 3)},
			reason: drainv1alpha1.ReasonBrokerUnreachable, message: "they do not answer: 3",
		},
		"a broker whose eviction was allowed does not need to answer": {
			policy: policy(selfCheck), given: given{cluster: silent(healthy(), 2), holders: []decide.Holder{other}},
			reason: drainv1alpha1.ReasonAnotherDrain, message: "my-cluster-kafka-2",
		},
		"the state of Kafka is reported before other drains": {
			policy: policy(selfCheck), given: given{cluster: cluster(isr(1, 2), min1), holders: []decide.Holder{other}},
			reason: drainv1alpha1.ReasonUnderReplicated, message: "orders-0",
		},
		"the message names a policy whose cluster has the same ID": {
			policy: policy(selfCheck), given: given{cluster: healthy(), holders: []decide.Holder{foreign}},
			reason: drainv1alpha1.ReasonAnotherDrain, message: "waiting until staging/kafka-2 is replaced and in sync; its " +
				"eviction was allowed by policy staging/kafka, whose brokers have the same cluster ID " + healthy().ID +
				"; if they are another cluster, set spec.clusterName",
		},
		"a dry run makes no claim": {
			policy: policy(selfCheck),
			given:  given{cluster: healthy(), request: eviction(func(r *decide.Request) { r.DryRun = true })},
			allow:  true, reason: drainv1alpha1.ReasonSafe,
		},
		"unreachable Kafka denies": {
			policy: policy(selfCheck, deadline(time.Hour, allowLate)),
			given:  given{pod: strimziPod(drainingSince(time.Minute))},
			reason: drainv1alpha1.ReasonKafkaUnreachable, message: "connection refused",
		},
		"unreachable Kafka is overridden after the deadline if the policy says so": {
			policy: policy(selfCheck, deadline(time.Hour, allowLate)),
			given:  given{pod: strimziPod(drainingSince(time.Hour))},
			allow:  true, overdue: true, reason: drainv1alpha1.ReasonDeadlinePassed, message: "connection refused",
		},
		"with onDeadline Deny the message says that the deadline has passed": {
			policy:  policy(selfCheck, deadline(time.Hour, denyLate)),
			given:   given{cluster: underReplicated, pod: strimziPod(drainingSince(2 * time.Hour))},
			overdue: true, reason: drainv1alpha1.ReasonAtMinISR, message: "past the deadline of 1h0m0s",
		},
		"an earlier drain does not count for the deadline": {
			policy: policy(selfCheck, deadline(time.Hour, allowLate)),
			given: given{cluster: underReplicated, pod: strimziPod(drainingSince(24*time.Hour), func(p *decide.Pod) {
				p.DrainLast = noon.Add(-23 * time.Hour)
			})},
			reason: drainv1alpha1.ReasonAtMinISR,
		},
		"Observe reports the decision of SelfCheck": {
			policy: policy(observe, bootstrap), given: given{cluster: underReplicated},
			allow: true, reason: drainv1alpha1.ReasonObservedOnly, message: "would have denied the eviction: AtMinISR",
		},
		"Observe reports the decision of Delegate without brokers": {
			policy: policy(observe), allow: true,
			reason: drainv1alpha1.ReasonObservedOnly, message: "would have denied the eviction: RollRequested",
		},
		"Observe does not report a moved pod as gone": {
			policy: policy(observe), healthy: true,
			given: given{evicted: &decide.RecentEviction{Node: "old", At: noon}},
			allow: true, reason: drainv1alpha1.ReasonObservedOnly, message: "would have denied the eviction: PodMoved",
		},
		"a pod without a KafkaConnector stays": {
			policy: policy(selfCheck, connect), reason: drainv1alpha1.ReasonConnectorUnknown,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.policy != nil {
				test.policies = policies(test.policy)
			}
			if test.request.Name == "" {
				test.request = eviction()
			}
			if test.pod == nil {
				test.pod = strimziPod()
			}
			test.node = decide.Node{Name: "node-1", Unschedulable: !test.healthy}
			d := decide.Evict(test.live(), noon)
			assert.Equal(t, decide.NeedNothing, d.Need)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.roll, d.Roll, "roll")
			assert.Equal(t, test.overdue, d.Overdue, "overdue")
			assert.Contains(t, d.Message, test.message)
		})
	}
}
