package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

type connectState = connectv1.PodState

// kubectl drain takes 404 as "the pod is gone". Without the permission to read nodes it is not known which node is
// being drained, so the answer is never 404.
func TestReplacementIsNeverReportedAsGoneWithoutPermissionToReadNodes(t *testing.T) {
	t.Parallel()
	forbidden := decide.FromLiveRead(decide.Node{Forbidden: true})
	unreadable := decide.Failed[decide.Node](errTimeout)
	for name, test := range map[string]struct {
		node   decide.Input[decide.Node]
		podOn  string
		age    time.Duration
		allow  bool
		roll   bool
		reason decide.Reason
	}{
		"a replacement on another node is not rolled within the replacement timeout": {
			node: forbidden, podOn: "node-2", age: time.Minute, reason: drainv1alpha1.ReasonPodRecentlyReplaced,
		},
		"a replacement on the same node is not rolled within the replacement timeout": {
			node: forbidden, podOn: "old", age: time.Minute, reason: drainv1alpha1.ReasonPodRecentlyReplaced,
		},
		"a replacement is rolled once after the replacement timeout": {
			node: forbidden, podOn: "node-2", age: 6 * time.Minute, roll: true, reason: drainv1alpha1.ReasonRollRequested,
		},
		"a node that cannot be read now causes neither 404 nor a roll": {
			node: unreadable, podOn: "node-2", age: time.Minute, reason: drainv1alpha1.ReasonLookupFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given{
				request: eviction(), pod: strimziPod(func(p *decide.Pod) { p.Node = test.podOn }),
				evicted: &decide.RecentEviction{Node: "old", At: noon.Add(-test.age)},
			}.live()
			s.Node = test.node
			d := decide.Evict(s, noon)
			assert.False(t, d.NotFound, "404")
			assert.Equal(t, test.allow, d.Allow, "allow")
			assert.Equal(t, test.roll, d.Roll, "roll")
			assert.Equal(t, test.reason, d.Reason, d.Message)
		})
	}
}

// Every answer after which a protected pod may be gone is confirmed by live reads, whatever its reason.
func TestProtectedPodIsReleasedOnLiveReadsOnly(t *testing.T) {
	t.Parallel()
	cordoned := decide.Node{Name: "node-1", Unschedulable: true}
	legacy := decide.Settings{DrainKafka: true}
	selfCheck := policies(policy(drainv1alpha1.ModeSelfCheck))
	late := policies(policy(drainv1alpha1.ModeSelfCheck, deadline(time.Minute, drainv1alpha1.OnDeadlineAllow)))
	for name, g := range map[string]given{
		"PodMoved": {pod: strimziPod(), node: decide.Node{Name: "node-1"},
			evicted: &decide.RecentEviction{Node: "old", At: noon}},
		"UIDDiffers":     {pod: strimziPod(), request: eviction(func(r *decide.Request) { r.UID = "uid-0" })},
		"PodTerminating": {pod: strimziPod(func(p *decide.Pod) { p.Terminating = true })},
		"PodFinished":    {pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodFailed })},
		"PodPending":     {pod: strimziPod(func(p *decide.Pod) { p.Phase = corev1.PodPending })},
		"RollRequested":  {pod: strimziPod(), settings: &legacy},
		"Safe":           {pod: strimziPod(), policies: selfCheck, node: cordoned, cluster: healthy(), claimed: true},
		"DeadlinePassed": {pod: strimziPod(drainingSince(time.Hour)), policies: late, node: cordoned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if g.request.Name == "" {
				g.request = eviction()
			}
			live := decide.Evict(g.live(), noon)
			require.True(t, live.Allow || live.NotFound, live.Message)
			require.Equal(t, name, string(live.Reason))
			cached := decide.Evict(g.cached(), noon)
			assert.NotEqual(t, decide.NeedNothing, cached.Need, "decided on caches: %s", cached.Reason)
			assert.True(t, cached.Live, "asks for a live read")
		})
	}
}

func TestObserveNeedsOnlyTheLivePolicy(t *testing.T) {
	t.Parallel()
	g := given{request: eviction(), pod: strimziPod(), policies: policies(policy(drainv1alpha1.ModeObserve))}
	s := g.cached()
	d := decide.Evict(s, noon)
	assert.Equal(t, decide.NeedPolicies, d.Need)
	assert.True(t, d.Live)
	s.Policies = decide.FromLiveRead(g.policies)
	assert.Equal(t, drainv1alpha1.ReasonObservedOnly, decide.Evict(s, noon).Reason)
	s.Policies = decide.Failed[[]*drainv1alpha1.KafkaDrainPolicy](errTimeout)
	d = decide.Evict(s, noon)
	assert.Equal(t, drainv1alpha1.ReasonLookupFailed, d.Reason)
	assert.False(t, d.Allow, "an unconfirmed policy may have another mode now")
}

// An unreadable input denies while it matters. It denies neither in mode Observe nor after a deadline with onDeadline
// Allow, and it does not change decisions that do not depend on it.
func TestUnreadableInputAffectsOnlyDecisionsThatDependOnIt(t *testing.T) {
	t.Parallel()
	localVolumes := func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.LocalVolumePolicy = drainv1alpha1.LocalVolumeDeny }
	for name, test := range map[string]struct {
		policy func(*drainv1alpha1.KafkaDrainPolicySpec)
		fail   func(*decide.State)
		reason decide.Reason
	}{
		"node": {fail: func(s *decide.State) { s.Node = decide.Failed[decide.Node](errTimeout) }},
		"volumes": {policy: localVolumes,
			fail: func(s *decide.State) { s.Volumes = decide.Failed[[]string](errTimeout) }},
		"connector": {policy: connect,
			fail: func(s *decide.State) { s.Connector = decide.Failed[*decide.Connector](errTimeout) }},
		"cluster": {reason: drainv1alpha1.ReasonKafkaUnreachable, fail: func(s *decide.State) {
			s.Cluster = decide.Unreadable[*decide.Cluster](decide.Fault{
				Reason: drainv1alpha1.ReasonKafkaUnreachable, Message: errTimeout.Error()})
		}},
		"holders": {fail: func(s *decide.State) { s.Holders = decide.Failed[[]decide.Holder](errTimeout) }},
		"budgets": {fail: func(s *decide.State) { s.Budgets = decide.Failed[[]decide.Budget](errTimeout) }},
		"claim":   {fail: func(s *decide.State) { s.Claimed = decide.Failed[bool](errTimeout) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.reason == "" {
				test.reason = drainv1alpha1.ReasonLookupFailed
			}
			evict := func(mode drainv1alpha1.Mode, change ...func(*drainv1alpha1.KafkaDrainPolicySpec)) decide.Decision {
				p := policy(mode, change...)
				p.Spec.BootstrapServers = "kafka:9092"
				if test.policy != nil {
					test.policy(&p.Spec)
				}
				s := given{
					request: eviction(), policies: policies(p), node: decide.Node{Unschedulable: true}, cluster: healthy(),
					pod:       strimziPod(drainingSince(time.Hour), func(p *decide.Pod) { p.Claims = []string{"data"} }),
					connector: &decide.Connector{Units: []decide.Unit{{Pod: "my-cluster-kafka-1", State: "Running"}}},
				}.live()
				test.fail(&s)
				return decide.Evict(s, noon)
			}
			d := evict(drainv1alpha1.ModeSelfCheck)
			assert.False(t, d.Allow)
			assert.Equal(t, test.reason, d.Reason, d.Message)
			assert.Contains(t, d.Message, errTimeout.Error())

			d = evict(drainv1alpha1.ModeSelfCheck, deadline(time.Minute, drainv1alpha1.OnDeadlineAllow))
			assert.True(t, d.Allow, "after the deadline: %s", d.Message)
			assert.Equal(t, drainv1alpha1.ReasonDeadlinePassed, d.Reason)

			d = evict(drainv1alpha1.ModeObserve)
			assert.True(t, d.Allow, "in mode Observe: %s", d.Message)
			assert.Equal(t, drainv1alpha1.ReasonObservedOnly, d.Reason)
		})
	}
	t.Run("pod", func(t *testing.T) {
		t.Parallel()
		s := given{request: eviction()}.live()
		s.Pod = decide.Failed[*decide.Pod](errTimeout)
		assert.Equal(t, drainv1alpha1.ReasonLookupFailed, decide.Evict(s, noon).Reason)
		s.WithoutKafka = decide.FromSyncedCache(true)
		assert.True(t, decide.Evict(s, noon).Allow, "the namespace has no Kafka")
	})
}

func TestNamespaceWithoutKafkaNeedsNoOtherInput(t *testing.T) {
	t.Parallel()
	s := decide.State{Settings: strimziDefaults, Request: eviction()}
	assert.Equal(t, decide.NeedNamespace, decide.Evict(s, noon).Need)
	s.WithoutKafka = decide.FromSyncedCache(true)
	d := decide.Evict(s, noon)
	assert.True(t, d.Allow)
	assert.Equal(t, drainv1alpha1.ReasonNotProtected, d.Reason)
	s.WithoutKafka = decide.FromCache(true)
	assert.Equal(t, decide.NeedPod, decide.Evict(s, noon).Need, "the cache may lag")
}

func TestUnprotectedPodNeedsOneLiveRead(t *testing.T) {
	t.Parallel()
	pod := strimziPod(withoutLabel("strimzi.io/kind"))
	s := given{request: eviction(), pod: pod}.live()
	s.Policies = decide.FromSyncedCache[[]*drainv1alpha1.KafkaDrainPolicy](nil)
	assert.Equal(t, drainv1alpha1.ReasonNotProtected, decide.Evict(s, noon).Reason)
	s.Policies = decide.FromCache[[]*drainv1alpha1.KafkaDrainPolicy](nil)
	assert.Equal(t, decide.NeedPolicies, decide.Evict(s, noon).Need, "the cache of policies may lag")
	s.Pod = decide.FromCache(pod)
	assert.Equal(t, decide.NeedPod, decide.Evict(s, noon).Need, "the cache of pods may lag")
}

func TestAsksOnlyForTheInputsThatItNeeds(t *testing.T) {
	t.Parallel()
	g := given{
		request: eviction(), pod: strimziPod(), policies: policies(policy(drainv1alpha1.ModeSelfCheck)),
		node: decide.Node{Unschedulable: true}, cluster: healthy(), claimed: true,
	}
	s := decide.State{Settings: strimziDefaults, Request: g.request}
	var asked []decide.Need
	for range 20 {
		d := decide.Evict(s, noon)
		if d.Need == decide.NeedNothing {
			assert.Equal(t, drainv1alpha1.ReasonSafe, d.Reason, d.Message)
			break
		}
		asked = append(asked, d.Need)
		read(&s, g.live(), d, true)
	}
	assert.Equal(t, []decide.Need{
		decide.NeedNamespace, decide.NeedPod, decide.NeedPolicies, decide.NeedNode, decide.NeedKafka, decide.NeedHolders,
		decide.NeedBudgets, decide.NeedPod, decide.NeedPolicies, decide.NeedNode, decide.NeedBudgets, decide.NeedClaim,
	}, asked, "all inputs are read live before the claim is made")
}
