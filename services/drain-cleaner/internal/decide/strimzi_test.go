package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func strimziPod(change ...func(*decide.Pod)) *decide.Pod {
	p := &decide.Pod{
		Namespace: "kafka", Name: "my-cluster-kafka-1", UID: "uid-1", Node: "node-1", Phase: corev1.PodRunning, ReadySince: noon.Add(-time.Hour),
		Labels: map[string]string{contract.StrimziKind: contract.StrimziKindKafka, contract.StrimziName: "my-cluster-kafka"},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func label(key, value string) func(*decide.Pod) {
	return func(p *decide.Pod) { p.Labels[key] = value }
}

func withoutLabel(key string) func(*decide.Pod) {
	return func(p *decide.Pod) { delete(p.Labels, key) }
}

func eviction(change ...func(*decide.Request)) decide.Request {
	r := decide.Request{Eviction: true, Namespace: "kafka", Name: "my-cluster-kafka-1"}
	for _, c := range change {
		c(&r)
	}
	return r
}

var strimziDefaults = decide.Settings{DrainKafka: true, DrainZooKeeper: true, DenyEviction: true}

// The names are those of the test cases of Strimzi's Drain Cleaner that have the same sense; what each checks is said beside it.
func TestDoesWhatStrimzisDrainCleanerDoes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings func(*decide.Settings)
		request  decide.Request
		pod      *decide.Pod
		allow    bool
		roll     bool
		reason   decide.Reason
	}{
		"EvictionAllowed: legacy mode rolls the pod and leaves the denial to a PodDisruptionBudget": {
			settings: func(s *decide.Settings) { s.DenyEviction = false },
			request:  eviction(), pod: strimziPod(), allow: true, roll: true, reason: decide.RollRequested,
		},
		"EvictionDenied: the pod is annotated and the eviction denied": {
			request: eviction(), pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"CorrectUid: a precondition that holds changes nothing": {
			request: eviction(func(r *decide.Request) { r.UID = "uid-1" }), pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"WrongUid: the eviction of an earlier pod is allowed and annotates nothing": {
			request: eviction(func(r *decide.Request) { r.UID = "uid-0" }), pod: strimziPod(), allow: true, reason: decide.UIDDiffers,
		},
		"PodWithoutAnnotations: the annotation is added": {
			request: eviction(), pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"EmptyLabel: an empty strimzi.io/name is no match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "")), allow: true, reason: decide.NotProtected,
		},
		"NullLabel: a missing strimzi.io/name is no match": {
			request: eviction(), pod: strimziPod(withoutLabel(contract.StrimziName)), allow: true, reason: decide.NotProtected,
		},
		"WrongValue: another component of the cluster is no match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "my-cluster-entity-operator")), allow: true, reason: decide.NotProtected,
		},
		"WrongValue: the whole of the name has to match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "my-cluster-kafka-exporter")), allow: true, reason: decide.NotProtected,
		},
		"WrongValue: a name before the suffix is needed": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "-kafka")), allow: true, reason: decide.NotProtected,
		},
		"CorrectKafka: the pods of Kafka match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "a-kafka")), roll: true, reason: decide.RollRequested,
		},
		"CorrectZooKeeper: the pods of ZooKeeper match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "a-zookeeper")), roll: true, reason: decide.RollRequested,
		},
		"KafkaDisabled: Kafka is left alone": {
			settings: func(s *decide.Settings) { s.DrainKafka = false },
			request:  eviction(), pod: strimziPod(), allow: true, reason: decide.NotProtected,
		},
		"KafkaDisabled: ZooKeeper is not": {
			settings: func(s *decide.Settings) { s.DrainKafka = false },
			request:  eviction(), pod: strimziPod(label(contract.StrimziName, "a-zookeeper")), roll: true, reason: decide.RollRequested,
		},
		"ZooKeeperDisabled: ZooKeeper is left alone": {
			settings: func(s *decide.Settings) { s.DrainZooKeeper = false },
			request:  eviction(), pod: strimziPod(label(contract.StrimziName, "a-zookeeper")), allow: true, reason: decide.NotProtected,
		},
		"ZooKeeperDisabled: Kafka is not": {
			settings: func(s *decide.Settings) { s.DrainZooKeeper = false },
			request:  eviction(), pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"DryRun: the answer is the same, and nothing is annotated": {
			request: eviction(func(r *decide.Request) { r.DryRun = true }), pod: strimziPod(), reason: decide.RollRequested,
		},
		"Filters: with both disabled nothing matches": {
			settings: func(s *decide.Settings) { s.DrainKafka, s.DrainZooKeeper = false, false },
			request:  eviction(), pod: strimziPod(), allow: true, reason: decide.NotProtected,
		},
		"NoKindLabel: a pod that is not of a Kafka resource is no match": {
			request: eviction(), pod: strimziPod(withoutLabel(contract.StrimziKind)), allow: true, reason: decide.NotProtected,
		},
		"NoKindLabel: nor is one of another resource": {
			request: eviction(), pod: strimziPod(label(contract.StrimziKind, "KafkaConnect")), allow: true, reason: decide.NotProtected,
		},
		"PodDoesNotExist: there is nothing to protect": {
			request: eviction(), allow: true, reason: decide.PodGone,
		},
		"AlreadyAnnotated: the pod is not annotated again": {
			request: eviction(), pod: strimziPod(func(p *decide.Pod) { p.RollRequested = true }), reason: decide.RollRequested,
		},
		"NoNamespaceAnywhere: without a namespace there is nothing to look for": {
			request: eviction(func(r *decide.Request) { r.Namespace = "" }), pod: strimziPod(), allow: true, reason: decide.NamespaceMissing,
		},
		"NoName: without a name neither": {
			request: eviction(func(r *decide.Request) { r.Name = "" }), pod: strimziPod(), allow: true, reason: decide.NameMissing,
		},
		"namespaces: empty watches all": {
			settings: func(s *decide.Settings) { s.Namespaces = nil },
			request:  eviction(), pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"namespaces: a watched one": {
			settings: func(s *decide.Settings) { s.Namespaces = []string{"other", "kafka"} },
			request:  eviction(), pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"namespaces: one that is not watched": {
			settings: func(s *decide.Settings) { s.Namespaces = []string{"other"} },
			request:  eviction(), pod: strimziPod(), allow: true, reason: decide.NamespaceNotWatched,
		},
		"not an Eviction": {
			request: eviction(func(r *decide.Request) { r.Eviction = false }), pod: strimziPod(), allow: true, reason: decide.NotAnEviction,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := strimziDefaults
			if test.settings != nil {
				test.settings(&settings)
			}
			s := decide.State{Settings: settings, Request: test.request, Pod: test.pod, Known: known(decide.NeedPod)}
			d := decide.Evict(s, noon)
			assert.Equal(t, decide.NeedNothing, d.Need)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.roll, d.Roll, "roll")
			assert.False(t, d.Record, "Strimzi's pods get Strimzi's annotation and no other")
			if d.Reason == decide.RollRequested {
				assert.Equal(t, "The pod will be rolled by the Strimzi Cluster Operator", d.Message)
			}
		})
	}
}

func TestAnUnwatchedNamespaceCostsNoLookup(t *testing.T) {
	t.Parallel()
	settings := strimziDefaults
	settings.Namespaces = []string{"other"}
	d := decide.Evict(decide.State{Settings: settings, Request: eviction()}, noon)
	assert.Equal(t, decide.NeedNothing, d.Need)
	assert.True(t, d.Allow)
}

// What Weir does otherwise, without a policy too.
func TestIsBetterThanStrimzisWithoutAPolicy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings func(*decide.Settings)
		node     *decide.Node
		replaces bool
		uid      string
		pod      *decide.Pod
		allow    bool
		roll     bool
		reason   decide.Reason
	}{
		"a terminating pod on a dead node does not block its drain": {
			pod: strimziPod(func(p *decide.Pod) { p.Terminating = true }), allow: true, reason: decide.PodTerminating,
		},
		"a pod that waits for a node may go": {
			pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodPending }), allow: true, reason: decide.PodPending,
		},
		"a failed pod may go": {
			pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodFailed }), allow: true, reason: decide.PodFinished,
		},
		"a succeeded pod may go": {
			pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodSucceeded }), allow: true, reason: decide.PodFinished,
		},
		"with the flag nothing is rolled off a healthy node": {
			settings: func(s *decide.Settings) { s.RequireNodeCordoned = true },
			node:     &decide.Node{Name: "node-1"}, pod: strimziPod(), reason: decide.NodeNotCordoned,
		},
		"with the flag a cordoned node is drained": {
			settings: func(s *decide.Settings) { s.RequireNodeCordoned = true },
			node:     &decide.Node{Name: "node-1", Unschedulable: true}, pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"with the flag a tainted node is drained": {
			settings: func(s *decide.Settings) { s.RequireNodeCordoned = true },
			node:     &decide.Node{Name: "node-1", Tainted: true}, pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"with the flag a node that is gone is drained": {
			settings: func(s *decide.Settings) { s.RequireNodeCordoned = true },
			node:     &decide.Node{Gone: true}, pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"a pod that was rolled is not rolled again on its new node because the drain goes on by name": {
			node: &decide.Node{Name: "node-2"}, replaces: true, pod: strimziPod(), reason: decide.PodMoved,
		},
		"a pod that was rolled onto another node that is drained is rolled off that too": {
			node: &decide.Node{Name: "node-2", Unschedulable: true}, replaces: true, pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
		"a pod that was rolled onto another node is left alone where nodes cannot be seen": {
			node: &decide.Node{Hidden: true}, replaces: true, pod: strimziPod(), reason: decide.PodMoved,
		},
		"a pod that was rolled back onto its node is rolled again where nodes cannot be seen": {
			node: &decide.Node{Hidden: true}, replaces: true, pod: strimziPod(func(p *decide.Pod) { p.Node = "old" }), roll: true, reason: decide.RollRequested,
		},
		"a replacement that waits for a node is left alone": {
			replaces: true, pod: strimziPod(func(p *decide.Pod) { p.Node, p.Phase = "", corev1.PodPending }), reason: decide.PodMoved,
		},
		"an eviction that means the replacement is about the replacement": {
			replaces: true, uid: "uid-1", pod: strimziPod(), roll: true, reason: decide.RollRequested,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := strimziDefaults
			if test.settings != nil {
				test.settings(&settings)
			}
			s := decide.State{Settings: settings, Request: eviction(), Pod: test.pod, Replaces: test.replaces, LeftNode: "old", Known: known(decide.NeedPod)}
			s.Request.UID = types.UID(test.uid)
			if test.node != nil {
				assert.Equal(t, decide.NeedNode, decide.Evict(s, noon).Need)
				s.Node, s.Known = *test.node, known(decide.NeedPod, decide.NeedNode)
			}
			d := decide.Evict(s, noon)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.roll, d.Roll, "roll")
		})
	}
}

func known(needs ...decide.Need) map[decide.Need]bool {
	m := map[decide.Need]bool{}
	for _, n := range needs {
		m[n] = true
	}
	return m
}
