package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Each name starts with the name of the corresponding test case of Strimzi's Drain Cleaner.
func TestDecidesAsStrimzisDrainCleaner(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings func(*decide.Settings)
		request  decide.Request
		pod      *decide.Pod
		allow    bool
		roll     bool
		reason   decide.Reason
	}{
		"EvictionAllowed: legacy mode rolls the pod and allows the eviction": {
			settings: func(s *decide.Settings) { s.DenyEviction = false },
			request:  eviction(), pod: strimziPod(), allow: true, roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"EvictionDenied: the pod is annotated and the eviction denied": {
			request: eviction(), pod: strimziPod(), roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"CorrectUid: a correct precondition makes no difference": {
			request: eviction(func(r *decide.Request) { r.UID = "uid-1" }), pod: strimziPod(),
			roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"WrongUid: the eviction of an earlier pod is allowed without an annotation": {
			request: eviction(func(r *decide.Request) { r.UID = "uid-0" }), pod: strimziPod(),
			allow: true, reason: drainv1alpha1.ReasonUIDDiffers,
		},
		"PodWithoutAnnotations: the annotation is added": {
			request: eviction(), pod: strimziPod(), roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"EmptyLabel: an empty strimzi.io/name does not match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "")),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"NullLabel: a missing strimzi.io/name does not match": {
			request: eviction(), pod: strimziPod(withoutLabel(contract.StrimziName)),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"WrongValue: another component of the cluster does not match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "my-cluster-entity-operator")),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"WrongValue: the whole name has to match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "my-cluster-kafka-exporter")),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"WrongValue: the name has to be longer than the suffix": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "-kafka")),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"CorrectKafka: Kafka pods match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "a-kafka")),
			roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"CorrectZooKeeper: ZooKeeper pods match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziName, "a-zookeeper")),
			roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"KafkaDisabled: Kafka pods are allowed": {
			settings: func(s *decide.Settings) { s.DrainKafka = false },
			request:  eviction(), pod: strimziPod(), allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"KafkaDisabled: ZooKeeper pods are rolled": {
			settings: func(s *decide.Settings) { s.DrainKafka = false },
			request:  eviction(), pod: strimziPod(label(contract.StrimziName, "a-zookeeper")),
			roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"ZooKeeperDisabled: ZooKeeper pods are allowed": {
			settings: func(s *decide.Settings) { s.DrainZooKeeper = false },
			request:  eviction(), pod: strimziPod(label(contract.StrimziName, "a-zookeeper")),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"ZooKeeperDisabled: Kafka pods are rolled": {
			settings: func(s *decide.Settings) { s.DrainZooKeeper = false },
			request:  eviction(), pod: strimziPod(), roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"DryRun: the answer is the same without an annotation": {
			request: eviction(func(r *decide.Request) { r.DryRun = true }), pod: strimziPod(),
			reason: drainv1alpha1.ReasonRollRequested,
		},
		"Filters: with both disabled no pod matches": {
			settings: func(s *decide.Settings) { s.DrainKafka, s.DrainZooKeeper = false, false },
			request:  eviction(), pod: strimziPod(), allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"NoKindLabel: a pod without the kind label does not match": {
			request: eviction(), pod: strimziPod(withoutLabel(contract.StrimziKind)),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"NoKindLabel: a pod of another kind does not match": {
			request: eviction(), pod: strimziPod(label(contract.StrimziKind, "KafkaConnect")),
			allow: true, reason: drainv1alpha1.ReasonNotProtected,
		},
		"PodDoesNotExist: the eviction is allowed": {
			request: eviction(), allow: true, reason: drainv1alpha1.ReasonPodGone,
		},
		"AlreadyAnnotated: the pod is not annotated again": {
			request: eviction(), pod: strimziPod(func(p *decide.Pod) { p.RollRequested = true }),
			reason: drainv1alpha1.ReasonRollRequested,
		},
		"NoNamespaceAnywhere: the eviction is allowed": {
			request: eviction(func(r *decide.Request) { r.Namespace = "" }), pod: strimziPod(),
			allow: true, reason: drainv1alpha1.ReasonNamespaceMissing,
		},
		"NoName: the eviction is allowed": {
			request: eviction(func(r *decide.Request) { r.Name = "" }), pod: strimziPod(),
			allow: true, reason: drainv1alpha1.ReasonNameMissing,
		},
		"namespaces: an empty list watches all": {
			settings: func(s *decide.Settings) { s.Namespaces = nil },
			request:  eviction(), pod: strimziPod(), roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"namespaces: a pod of a watched namespace is rolled": {
			settings: func(s *decide.Settings) { s.Namespaces = []string{"other", "kafka"} },
			request:  eviction(), pod: strimziPod(), roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"namespaces: a pod of another namespace is allowed": {
			settings: func(s *decide.Settings) { s.Namespaces = []string{"other"} },
			request:  eviction(), pod: strimziPod(), allow: true, reason: drainv1alpha1.ReasonNamespaceNotWatched,
		},
		"not an Eviction": {
			request: eviction(func(r *decide.Request) { r.Eviction = false }), pod: strimziPod(),
			allow: true, reason: drainv1alpha1.ReasonNotAnEviction,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := strimziDefaults
			if test.settings != nil {
				test.settings(&settings)
			}
			d := decide.Evict(given{settings: &settings, request: test.request, pod: test.pod}.live(), noon)
			assert.Equal(t, decide.NeedNothing, d.Need)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.roll, d.Roll, "roll")
			assert.False(t, d.Record, "pods without a policy get only Strimzi's annotation")
			if d.Reason == drainv1alpha1.ReasonRollRequested {
				assert.Equal(t, "The pod will be rolled by the Strimzi Cluster Operator", d.Message)
			}
		})
	}
}

func TestUnwatchedNamespaceNeedsNoInput(t *testing.T) {
	t.Parallel()
	settings := strimziDefaults
	settings.Namespaces = []string{"other"}
	d := decide.Evict(decide.State{Settings: settings, Request: eviction()}, noon)
	assert.Equal(t, decide.NeedNothing, d.Need)
	assert.True(t, d.Allow)
}

// These cases differ from Strimzi's Drain Cleaner.
func TestImprovesOnStrimzisDrainCleanerWithoutPolicy(t *testing.T) {
	t.Parallel()
	cordonRequired := strimziDefaults
	cordonRequired.RequireNodeCordoned = true
	cordoned := decide.Node{Name: "node-1", Unschedulable: true}
	ago := func(d time.Duration) *decide.RecentEviction {
		return &decide.RecentEviction{Node: "old", At: noon.Add(-d)}
	}
	for name, test := range map[string]struct {
		given
		allow    bool
		notFound bool
		roll     bool
		reason   decide.Reason
	}{
		"a terminating pod does not block the drain of its dead node": {
			given: given{pod: strimziPod(func(p *decide.Pod) { p.Terminating = true })},
			allow: true, reason: drainv1alpha1.ReasonPodTerminating,
		},
		"a pending pod may be evicted": {
			given: given{pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodPending })},
			allow: true, reason: drainv1alpha1.ReasonPodPending,
		},
		"a failed pod may be evicted": {
			given: given{pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodFailed })},
			allow: true, reason: drainv1alpha1.ReasonPodFinished,
		},
		"a succeeded pod may be evicted": {
			given: given{pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodSucceeded })},
			allow: true, reason: drainv1alpha1.ReasonPodFinished,
		},
		"with the cordon check no pod is rolled on a healthy node": {
			given:  given{settings: &cordonRequired, node: decide.Node{Name: "node-1"}},
			reason: drainv1alpha1.ReasonNodeNotCordoned,
		},
		"with the cordon check a cordoned node is drained": {
			given: given{settings: &cordonRequired, node: cordoned},
			roll:  true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"with the cordon check a tainted node is drained": {
			given: given{settings: &cordonRequired, node: decide.Node{Name: "node-1", Tainted: true}},
			roll:  true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"with the cordon check a deleted node is drained": {
			given: given{settings: &cordonRequired, node: decide.Node{Deleted: true}},
			roll:  true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"with the cordon check a node that cannot be read is not known to be uncordoned": {
			given:  given{settings: &cordonRequired, node: decide.Node{Forbidden: true}},
			reason: drainv1alpha1.ReasonLookupFailed,
		},
		"a rolled pod is not rolled again on its new node when the drain repeats the eviction by name": {
			given:    given{node: decide.Node{Name: "node-1"}, evicted: ago(time.Minute)},
			notFound: true, reason: drainv1alpha1.ReasonPodMoved,
		},
		"a rolled pod on another node that is being drained is rolled again": {
			given: given{node: cordoned, evicted: ago(time.Minute)},
			roll:  true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"a terminating replacement may be evicted": {
			given: given{pod: strimziPod(func(p *decide.Pod) { p.Terminating = true }),
				node: decide.Node{Forbidden: true}, evicted: ago(time.Minute)},
			allow: true, reason: drainv1alpha1.ReasonPodTerminating,
		},
		"a replacement without a node is left alone": {
			given: given{pod: strimziPod(func(p *decide.Pod) { p.Node, p.Phase = "", corev1.PodPending }),
				evicted: ago(time.Minute)},
			notFound: true, reason: drainv1alpha1.ReasonPodMoved,
		},
		"an eviction with the UID of the replacement applies to the replacement": {
			given: given{request: eviction(func(r *decide.Request) { r.UID = "uid-1" }), evicted: ago(time.Minute)},
			roll:  true, reason: drainv1alpha1.ReasonRollRequested,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.request.Name == "" {
				test.request = eviction()
			}
			if test.pod == nil {
				test.pod = strimziPod()
			}
			d := decide.Evict(test.live(), noon)
			assert.Equal(t, decide.NeedNothing, d.Need)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.notFound, d.NotFound, "not found")
			assert.Equal(t, test.roll, d.Roll, "roll")
		})
	}
}
