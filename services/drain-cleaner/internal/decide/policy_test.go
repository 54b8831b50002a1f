package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

func policy(mode drainv1alpha1.Mode, change ...func(*drainv1alpha1.KafkaDrainPolicySpec)) *drainv1alpha1.KafkaDrainPolicy {
	p := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "brokers"}}
	p.Spec = drainv1alpha1.KafkaDrainPolicySpec{Role: drainv1alpha1.RoleBroker, Mode: mode, MaxConcurrent: 1, OnDeadline: drainv1alpha1.OnDeadlineDeny}
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

func deadline(d time.Duration, action drainv1alpha1.DeadlineAction) func(*drainv1alpha1.KafkaDrainPolicySpec) {
	return func(s *drainv1alpha1.KafkaDrainPolicySpec) {
		s.DrainDeadline, s.OnDeadline = &metav1.Duration{Duration: d}, action
	}
}

func connect(s *drainv1alpha1.KafkaDrainPolicySpec) {
	s.Role, s.BootstrapServers = drainv1alpha1.RoleConnect, ""
}

func healthy() *decide.Cluster { return cluster(isr(1, 2, 3)) }

var underReplicated = cluster(isr(1, 2))

var allKnown = known(decide.NeedPod, decide.NeedNode, decide.NeedVolumes, decide.NeedConnector, decide.NeedKafka, decide.NeedHolders, decide.NeedClaim)

func TestFollowsThePolicyOfAPod(t *testing.T) {
	t.Parallel()
	cordoned := decide.Node{Name: "node-1", Unschedulable: true}
	other := decide.Holder{Namespace: "kafka", Pod: "my-cluster-kafka-2", UID: "uid-2", BrokerID: ptr(int32(2)), Since: noon}
	foreign := decide.Holder{Namespace: "staging", Pod: "kafka-2", UID: "uid-3", BrokerID: ptr(int32(2)), Policy: "kafka", Since: noon}
	requested := func(p *decide.Pod) { p.RollRequested, p.DrainSince, p.DrainLast = true, noon.Add(-6*time.Minute), noon }
	since := func(d time.Duration) func(*decide.Pod) {
		return func(p *decide.Pod) { p.DrainSince, p.DrainLast = noon.Add(-d), noon }
	}
	tasks := func(states ...string) *decide.Connector {
		c := &decide.Connector{Name: "sink"}
		for i, state := range states {
			c.Units = append(c.Units, decide.Unit{Name: "task", Pod: []string{"my-cluster-kafka-1", "b", "c"}[i], State: state})
		}
		return c
	}
	for name, test := range map[string]struct {
		state   decide.State
		allow   bool
		roll    bool
		overdue bool
		reason  decide.Reason
		message string
	}{
		"two policies that act on one pod are refused by name": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate), named("others", policy(drainv1alpha1.ModeSelfCheck))), Node: cordoned},
			reason: decide.PoliciesOverlap, message: "brokers, others",
		},
		"a policy that observes may stand beside one that acts": {
			state:  decide.State{Policies: policies(named("a-look", policy(drainv1alpha1.ModeObserve)), policy(drainv1alpha1.ModeDelegate)), Node: cordoned},
			reason: decide.RollRequested, roll: true,
		},
		"a forged review changes nothing on a healthy node": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate)), Node: decide.Node{Name: "node-1"}},
			reason: decide.NodeNotCordoned, message: "kubectl cordon node-1",
		},
		"no deadline lets a pod go off a healthy node": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, deadline(time.Minute, drainv1alpha1.OnDeadlineAllow))),
				Node: decide.Node{Name: "node-1"}, Pod: strimziPod(since(time.Hour)), Cluster: underReplicated},
			reason: decide.NodeNotCordoned,
		},
		"a policy may do without the cordon": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate, func(s *drainv1alpha1.KafkaDrainPolicySpec) {
				s.RequireNodeCordoned = ptr(false)
			}))},
			reason: decide.RollRequested, roll: true,
		},
		"a pod that cannot come back anywhere else is kept where the policy says so": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate, func(s *drainv1alpha1.KafkaDrainPolicySpec) {
				s.LocalVolumePolicy = drainv1alpha1.LocalVolumeDeny
			})), Node: cordoned, Pinned: []string{"data-0"}, Pod: strimziPod(func(p *decide.Pod) { p.Claims = []string{"data-0"} })},
			reason: decide.PodPinnedToNode, message: "data-0",
		},
		"a pod that cannot come back anywhere else goes and waits by default": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate)), Node: cordoned, Pinned: []string{"data-0"}},
			reason: decide.RollRequested, roll: true,
		},
		"delegates to the operator": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate)), Node: cordoned},
			reason: decide.RollRequested, roll: true, message: decide.MessageRolledByStrimzi,
		},
		"an operator that does not act is not waited for where Kafka can be asked": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate, func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.BootstrapServers = "kafka:9092" })),
				Node: cordoned, Pod: strimziPod(requested), Cluster: healthy(), Claimed: true},
			allow: true, reason: decide.Safe,
		},
		"an operator that does not act is reported where Kafka cannot be asked": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate)), Node: cordoned, Pod: strimziPod(requested)},
			reason: decide.OperatorDown, message: "is its operator running",
		},
		"self-check allows what nothing feels": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Node: cordoned, Cluster: healthy(), Claimed: true},
			allow: true, reason: decide.Safe,
		},
		"self-check denies while a partition is under-replicated": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Node: cordoned, Cluster: cluster(isr(1, 2), min1)},
			reason: decide.UnderReplicated, message: "orders-0",
		},
		"self-check denies while another pod is not back": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Node: cordoned, Cluster: cluster(isr(1, 2, 3), min1, replicas(1, 3), isr(1, 3)), Holders: []decide.Holder{other}},
			reason: decide.AnotherDrain, message: "my-cluster-kafka-2",
		},
		"a broker that was let go counts as gone already": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, concurrent(2))), Node: cordoned, Cluster: healthy(), Holders: []decide.Holder{other}, Claimed: true},
			reason: decide.AnotherDrain, message: "waiting for kafka/my-cluster-kafka-2 to be back in sync",
		},
		"what Kafka itself has against it is said before who was let go": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Node: cordoned, Cluster: cluster(isr(1, 2), min1), Holders: []decide.Holder{other}},
			reason: decide.UnderReplicated, message: "orders-0",
		},
		"a cluster that only has the same id can be told apart by the user": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Node: cordoned, Cluster: healthy(), Holders: []decide.Holder{foreign}},
			reason: decide.AnotherDrain, message: "waiting for staging/kafka-2 to be back in sync, let go by policy staging/kafka, whose brokers have this cluster's id " + healthy().ID + "; if theirs is another cluster, give one of the policies a spec.clusterName",
		},
		"a dry run claims nothing": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Node: cordoned, Cluster: healthy(), Request: eviction(func(r *decide.Request) { r.DryRun = true })},
			allow: true, reason: decide.Safe,
		},
		"Kafka that does not answer is no reason to let go": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, deadline(time.Hour, drainv1alpha1.OnDeadlineAllow))), Node: cordoned,
				KafkaFault: decide.Fault{Reason: decide.KafkaUnreachable, Message: "connection refused"}, Pod: strimziPod(since(time.Minute))},
			reason: decide.KafkaUnreachable, message: "connection refused",
		},
		"Kafka that does not answer until the deadline is overridden where the policy says so": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, deadline(time.Hour, drainv1alpha1.OnDeadlineAllow))), Node: cordoned,
				KafkaFault: decide.Fault{Reason: decide.KafkaUnreachable, Message: "connection refused"}, Pod: strimziPod(since(time.Hour))},
			allow: true, overdue: true, reason: decide.DeadlinePassed, message: "connection refused",
		},
		"a deadline that denies goes on denying, and says that it is past": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, deadline(time.Hour, drainv1alpha1.OnDeadlineDeny))), Node: cordoned,
				Cluster: underReplicated, Pod: strimziPod(since(2 * time.Hour))},
			overdue: true, reason: decide.AtMinISR, message: "past the deadline of 1h0m0s",
		},
		"a drain that was given up long ago does not count towards the deadline of the next": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, deadline(time.Hour, drainv1alpha1.OnDeadlineAllow))), Node: cordoned,
				Cluster: underReplicated, Pod: strimziPod(since(24*time.Hour), func(p *decide.Pod) { p.DrainLast = noon.Add(-23 * time.Hour) })},
			reason: decide.AtMinISR,
		},
		"observing never denies, and tells what it would have said": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeObserve, func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.BootstrapServers = "kafka:9092" })), Node: cordoned, Cluster: underReplicated},
			allow: true, reason: decide.ObservedOnly, message: "would have denied this: AtMinISR",
		},
		"observing without brokers tells what delegating would have said": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeObserve)), Node: cordoned},
			allow: true, reason: decide.ObservedOnly, message: "would have denied this: RollRequested",
		},
		"a task goes while all others run": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate, connect)), Node: cordoned, Connector: tasks("Running", "Running", "Running")},
			reason: decide.RollRequested, roll: true,
		},
		"a task waits until the last moved one is back": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeDelegate, connect)), Node: cordoned, Connector: tasks("Running", "Starting", "Running")},
			reason: decide.TaskUnavailable, message: "sink is not whole",
		},
		"a task that does not run itself may go": {
			state: decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, connect)), Node: cordoned, Connector: tasks("Failed", "Running"), Claimed: true},
			allow: true, reason: decide.Safe,
		},
		"a pod without a KafkaConnector is kept": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck, connect)), Node: cordoned},
			reason: decide.ConnectorUnknown,
		},
		"Kubernetes that does not answer is no reason to let go": {
			state:  decide.State{Policies: policies(policy(drainv1alpha1.ModeSelfCheck)), Failure: "read pod: timeout"},
			reason: decide.LookupFailed, message: "timeout",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.state
			s.Known, s.Settings = allKnown, strimziDefaults
			if s.Request.Name == "" {
				s.Request = eviction()
			}
			if s.Pod == nil {
				s.Pod = strimziPod()
			}
			d := decide.Evict(s, noon)
			assert.Equal(t, decide.NeedNothing, d.Need)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.roll, d.Roll, "roll")
			assert.Equal(t, test.overdue, d.Overdue, "overdue")
			assert.Contains(t, d.Message, test.message)
		})
	}
}

func TestAsksOnlyForWhatTheDecisionNeeds(t *testing.T) {
	t.Parallel()
	s := decide.State{Settings: strimziDefaults, Request: eviction(), Known: known()}
	var asked []decide.Need
	for range 10 {
		d := decide.Evict(s, noon)
		if d.Need == decide.NeedNothing {
			assert.Equal(t, decide.Safe, d.Reason, d.Message)
			break
		}
		asked = append(asked, d.Need)
		s.Known[d.Need] = true
		switch d.Need {
		case decide.NeedPod:
			s.Pod, s.Policies = strimziPod(), policies(policy(drainv1alpha1.ModeSelfCheck))
		case decide.NeedNode:
			s.Node = decide.Node{Unschedulable: true}
		case decide.NeedKafka:
			s.Cluster = healthy()
		case decide.NeedClaim:
			s.Claimed = true
		}
	}
	assert.Equal(t, []decide.Need{decide.NeedPod, decide.NeedNode, decide.NeedKafka, decide.NeedHolders, decide.NeedClaim}, asked)
}

func policies(p ...*drainv1alpha1.KafkaDrainPolicy) []*drainv1alpha1.KafkaDrainPolicy { return p }

func concurrent(n int32) func(*drainv1alpha1.KafkaDrainPolicySpec) {
	return func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.MaxConcurrent = n }
}

func ptr[T any](v T) *T { return &v }
