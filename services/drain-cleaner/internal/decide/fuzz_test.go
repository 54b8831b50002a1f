package decide_test

import (
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// FuzzEvict decides on random inputs, some of which cannot be read. It checks that Evict
//   - does not panic, has a reason and a message, and decides the same on the same inputs;
//   - asks at most once for a cached and once for a live read of each input;
//   - requests no side effects for a dry run;
//   - releases a protected pod on live reads only, and never answers 404 unless the node was read;
//   - never denies in mode Observe unless the pod or the policies could not be read;
//   - allows an eviction as safe only with a claim, and only if no partition needs the broker.
func FuzzEvict(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed, "my-cluster-kafka-1", "my-cluster-kafka", false)
	}
	f.Fuzz(func(t *testing.T, seed uint64, name, label string, dryRun bool) {
		r := rand.New(rand.NewPCG(seed, 1))
		source := randomInputs(r, name, label)
		s := decide.State{Settings: strimziDefaults, Request: source.Request, Evicted: source.Evicted}
		s.Request.DryRun = dryRun
		asked := map[decide.Need]int{}
		var d decide.Decision
		for {
			d = decide.Evict(s, noon)
			if d.Need == decide.NeedNothing {
				break
			}
			if asked[d.Need]++; asked[d.Need] > 2 {
				t.Fatalf("asks for need %d again and again", d.Need)
			}
			read(&s, source, d, r.IntN(2) == 0)
		}
		checkDecision(t, s, d, dryRun)
		if asked[decide.NeedClaim] > 0 && dryRun {
			t.Fatal("a dry run makes a claim")
		}
		if again := decide.Evict(s, noon); again.Reason != d.Reason || again.Allow != d.Allow {
			t.Fatalf("first %s, then %s", d.Reason, again.Reason)
		}
	})
}

// read copies one input from source to s.
func read(s *decide.State, source decide.State, d decide.Decision, synced bool) {
	switch d.Need {
	case decide.NeedNamespace:
		s.WithoutKafka = source.WithoutKafka
	case decide.NeedPod:
		s.Pod = reread(source.Pod, d.Live, synced)
	case decide.NeedPolicies:
		s.Policies = reread(source.Policies, d.Live, synced)
	case decide.NeedNode:
		s.Node = reread(source.Node, d.Live, synced)
	case decide.NeedBudgets:
		s.Budgets = reread(source.Budgets, d.Live, synced)
	case decide.NeedVolumes:
		s.Volumes = source.Volumes
	case decide.NeedConnector:
		s.Connector = source.Connector
	case decide.NeedKafka:
		s.Cluster = source.Cluster
	case decide.NeedHolders:
		s.Holders = source.Holders
	case decide.NeedClaim:
		s.Claimed = source.Claimed
	}
}

func reread[T any](i decide.Input[T], live, synced bool) decide.Input[T] {
	switch {
	case live || i.Failed():
		return i
	case synced:
		return decide.FromSyncedCache(i.Value())
	}
	return decide.FromCache(i.Value())
}

func checkDecision(t *testing.T, s decide.State, d decide.Decision, dryRun bool) {
	t.Helper()
	if d.Reason == "" || d.Message == "" {
		t.Fatalf("a decision without a reason: %+v", d)
	}
	if dryRun && (d.Roll || d.Record) {
		t.Fatal("a dry run has a side effect")
	}
	policies := s.Policies.Value()
	isProtected := len(policies) > 0 || s.Pod.Value() != nil && d.Reason != drainv1alpha1.ReasonNotProtected
	if (d.Allow || d.NotFound) && s.Pod.Read() && isProtected && d.Observed == nil {
		for name, isLive := range map[string]bool{
			"pod": s.Pod.Live(), "policies": s.Policies.Live(), "node": !s.Node.Read() || s.Node.Live(),
			"budgets": !s.Budgets.Read() || s.Budgets.Live(),
		} {
			if !isLive {
				t.Fatalf("releases a protected pod with reason %s on a cached %s", d.Reason, name)
			}
		}
	}
	if d.NotFound && (s.Node.Failed() || s.Node.Value().Forbidden) {
		t.Fatal("answers 404 although the node could not be read")
	}
	observes := len(policies) > 0
	for _, p := range policies {
		observes = observes && p.Spec.Mode == drainv1alpha1.ModeObserve
	}
	if observes && !d.Allow {
		t.Fatalf("denies in mode Observe: %s", d.Reason)
	}
	if d.Reason != drainv1alpha1.ReasonSafe || d.BrokerID == nil {
		return
	}
	if !dryRun && !s.Claimed.Value() {
		t.Fatal("allowed without a claim")
	}
	if v := s.Cluster.Value().CheckRemoval(*d.BrokerID, drainv1alpha1.RoleBroker, 0, nil); v.Reason != "" {
		t.Fatalf("allowed although %s", v.Message)
	}
	if v := s.Cluster.Value().CheckSilent(*d.BrokerID, drainv1alpha1.RoleBroker, 0, nil); v.Reason != "" {
		t.Fatalf("allowed although %s", v.Message)
	}
}

// randomInputs returns a state with random inputs. Each of them can be unreadable.
func randomInputs(r *rand.Rand, name, label string) decide.State {
	pick := func(n int) int { return r.IntN(n) }
	g := given{
		pod: randomPod(r, name, label), cluster: randomCluster(r), claimed: true,
		request: decide.Request{Eviction: pick(9) > 0, Namespace: "kafka", Name: name},
		node:    decide.Node{Unschedulable: pick(3) > 0, Forbidden: pick(6) == 0},
		volumes: []string{"data"}[:pick(2)],
	}
	g.request.UID = []types.UID{"", "", "uid-1", "other"}[pick(4)]
	for range pick(3) {
		g.policies = append(g.policies, randomPolicy(r))
	}
	if pick(6) == 0 {
		g.evicted = &decide.RecentEviction{Node: "old", At: noon.Add(-time.Duration(pick(10)) * time.Minute)}
	}
	for i := range pick(3) {
		uid := types.UID([]string{"uid-1", "uid-2", "uid-3"}[pick(3)])
		g.holders = append(g.holders, decide.Holder{UID: uid, Pod: "p", BrokerID: ptr(int32(i))})
	}
	for range pick(3) / 2 {
		g.budgets = append(g.budgets, decide.Budget{Name: "b", Allowed: int32(pick(2)), Desired: 2, Healthy: int32(pick(4))})
	}
	if pick(3) > 0 {
		g.connector = &decide.Connector{Units: []decide.Unit{
			{Pod: name, State: "Running"}, {Pod: "b", State: []connectState{"Running", "Failed", "Starting"}[pick(3)]},
		}}
	}
	s := g.live()
	s.WithoutKafka = decide.FromSyncedCache(pick(10) == 0)
	fail(r, &s.Pod)
	fail(r, &s.Policies)
	fail(r, &s.Node)
	fail(r, &s.Volumes)
	fail(r, &s.Connector)
	fail(r, &s.Budgets)
	fail(r, &s.Claimed)
	return s
}

// fail makes an input unreadable now and then.
func fail[T any](r *rand.Rand, i *decide.Input[T]) {
	if r.IntN(12) == 0 {
		*i = decide.Failed[T](errTimeout)
	}
}

func randomPod(r *rand.Rand, name, label string) *decide.Pod {
	if r.IntN(10) == 0 {
		return nil
	}
	phases := []corev1.PodPhase{
		corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodFailed, "?",
	}
	return strimziPod(func(p *decide.Pod) {
		p.Name, p.Labels["strimzi.io/name"] = name, label
		p.Terminating, p.RollRequested = r.IntN(8) == 0, r.IntN(2) == 0
		p.Phase = phases[r.IntN(len(phases))]
		p.DrainSince = []time.Time{{}, noon, noon.Add(-time.Hour), noon.Add(time.Hour)}[r.IntN(4)]
		p.DrainLast = []time.Time{noon, noon.Add(-time.Hour)}[r.IntN(2)]
		p.Claims = []string{"data"}[:r.IntN(2)]
	})
}

func randomPolicy(r *rand.Rand) *drainv1alpha1.KafkaDrainPolicy {
	modes := []drainv1alpha1.Mode{
		drainv1alpha1.ModeDelegate, drainv1alpha1.ModeSelfCheck, drainv1alpha1.ModeObserve, "?",
	}
	roles := []drainv1alpha1.Role{
		drainv1alpha1.RoleBroker, drainv1alpha1.RoleController, drainv1alpha1.RoleConnect, "",
	}
	p := policy(modes[r.IntN(len(modes))])
	p.Spec.Role = roles[r.IntN(len(roles))]
	p.Spec.MaxConcurrent = int32(r.IntN(4) - 1)
	p.Spec.MinISRHeadroom = int32(r.IntN(3) - 1)
	if r.IntN(2) == 0 {
		p.Spec.DrainDeadline = &metav1.Duration{Duration: time.Minute}
		actions := []drainv1alpha1.DeadlineAction{drainv1alpha1.OnDeadlineAllow, drainv1alpha1.OnDeadlineDeny}
		p.Spec.OnDeadline = actions[r.IntN(2)]
	}
	localVolumes := []drainv1alpha1.LocalVolumePolicy{drainv1alpha1.LocalVolumeDeny, drainv1alpha1.LocalVolumeAllowPending}
	p.Spec.LocalVolumePolicy = localVolumes[r.IntN(2)]
	return p
}

func randomCluster(r *rand.Rand) *decide.Cluster {
	if r.IntN(5) == 0 {
		return nil
	}
	subset := func(of []int32) []int32 {
		var some []int32
		for _, id := range of {
			if r.IntN(4) > 0 {
				some = append(some, id)
			}
		}
		return some
	}
	all := []int32{0, 1, 2, 3}
	var partitions []decide.Partition
	for i := range int32(r.IntN(4)) {
		replicas := subset(all)
		partitions = append(partitions, decide.Partition{
			Topic: "t", ID: i, Replicas: replicas, ISR: subset(replicas), MinISR: r.IntN(4),
		})
	}
	var quorum *decide.Quorum
	if r.IntN(2) == 0 {
		quorum = &decide.Quorum{Leader: int32(r.IntN(5) - 1)}
		for _, id := range subset(all) {
			caughtUp := noon.Add(-time.Duration(r.IntN(4)) * time.Second)
			quorum.Voters = append(quorum.Voters, decide.Voter{ID: id, LastCaughtUp: caughtUp})
		}
	}
	live := brokers(subset(all)...)
	for i := range live {
		live[i].Silent = r.IntN(4) == 0
	}
	return decide.NewCluster("c", live, partitions, quorum, noon)
}
