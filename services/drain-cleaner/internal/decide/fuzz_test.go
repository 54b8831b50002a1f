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

// FuzzEvict asks for decisions about random worlds. They never panic, never ask twice for the same, are always the same for the
// same world, never change anything in a dry run, and never let a broker go that a partition needs.
func FuzzEvict(f *testing.F) {
	for seed := range uint64(32) {
		f.Add(seed, "my-cluster-kafka-1", "my-cluster-kafka", false)
	}
	f.Fuzz(func(t *testing.T, seed uint64, name, label string, dryRun bool) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := randomState(r, name, label)
		s.Request.DryRun = dryRun
		s.Known = map[decide.Need]bool{}
		var d decide.Decision
		for {
			d = decide.Evict(s, noon)
			if d.Need == decide.NeedNothing {
				break
			}
			if s.Known[d.Need] {
				t.Fatalf("asks twice for %d", d.Need)
			}
			s.Known[d.Need] = true
			s.Claimed = s.Claimed || d.Need == decide.NeedClaim
		}
		if again := decide.Evict(s, noon); again.Reason != d.Reason || again.Allow != d.Allow {
			t.Fatalf("first %s, then %s", d.Reason, again.Reason)
		}
		if d.Reason == "" || d.Message == "" {
			t.Fatalf("an answer without a reason: %+v", d)
		}
		if dryRun && (d.Roll || d.Record || s.Known[decide.NeedClaim]) {
			t.Fatal("a dry run changes something")
		}
		if d.Reason == decide.Safe && d.BrokerID != nil && !dryRun && !s.Claimed {
			t.Fatal("allowed without a claim")
		}
		if d.Reason == decide.Safe && d.BrokerID != nil {
			if v := s.Cluster.CheckRemoval(*d.BrokerID, drainv1alpha1.RoleBroker, 0, nil); v.Reason != "" {
				t.Fatalf("allowed although %s", v.Message)
			}
		}
	})
}

func randomState(r *rand.Rand, name, label string) decide.State {
	pick := func(n int) int { return r.IntN(n) }
	pod := strimziPod(func(p *decide.Pod) {
		p.Name, p.Labels["strimzi.io/name"] = name, label
		p.Terminating, p.RollRequested = pick(8) == 0, pick(2) == 0
		p.Phase = []corev1.PodPhase{corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodFailed, "?"}[pick(6)]
		p.DrainSince = []time.Time{{}, noon, noon.Add(-time.Hour), noon.Add(time.Hour)}[pick(4)]
		p.DrainLast = []time.Time{noon, noon.Add(-time.Hour)}[pick(2)]
		p.Claims = []string{"data"}[:pick(2)]
	})
	s := decide.State{Settings: strimziDefaults, Pod: pod, Request: decide.Request{Eviction: pick(9) > 0, Namespace: "kafka", Name: name}}
	s.Request.UID = []types.UID{"", "", pod.UID, "other"}[pick(4)]
	for range pick(3) {
		p := policy([]drainv1alpha1.Mode{drainv1alpha1.ModeDelegate, drainv1alpha1.ModeSelfCheck, drainv1alpha1.ModeObserve, "?"}[pick(4)])
		p.Spec.Role = []drainv1alpha1.Role{drainv1alpha1.RoleBroker, drainv1alpha1.RoleController, drainv1alpha1.RoleConnect, ""}[pick(4)]
		p.Spec.MaxConcurrent = int32(pick(4) - 1)
		p.Spec.MinISRHeadroom = int32(pick(3) - 1)
		if pick(2) == 0 {
			p.Spec.DrainDeadline = &metav1.Duration{Duration: time.Minute}
			p.Spec.OnDeadline = []drainv1alpha1.DeadlineAction{drainv1alpha1.OnDeadlineAllow, drainv1alpha1.OnDeadlineDeny}[pick(2)]
		}
		p.Spec.LocalVolumePolicy = []drainv1alpha1.LocalVolumePolicy{drainv1alpha1.LocalVolumeDeny, drainv1alpha1.LocalVolumeAllowPending}[pick(2)]
		s.Policies = append(s.Policies, p)
	}
	if pick(10) == 0 {
		s.Pod = nil
	}
	if pick(10) == 0 {
		s.Failure = "timeout"
	}
	s.Node = decide.Node{Unschedulable: pick(3) > 0}
	s.Replaces = pick(6) == 0
	s.Pinned = []string{"data"}[:pick(2)]
	s.Cluster, s.KafkaFault = randomCluster(r), decide.Fault{Reason: decide.KafkaUnreachable, Message: "down"}
	for i := range pick(3) {
		s.Holders = append(s.Holders, decide.Holder{UID: types.UID([]string{"uid-1", "uid-2", "uid-3"}[pick(3)]), Pod: "p", BrokerID: ptr(int32(i))})
	}
	if pick(3) > 0 {
		s.Connector = &decide.Connector{Units: []decide.Unit{{Pod: name, State: "Running"}, {Pod: "b", State: []string{"Running", "Failed"}[pick(2)]}}}
	}
	return s
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
		partitions = append(partitions, decide.Partition{Topic: "t", ID: i, Replicas: replicas, ISR: subset(replicas), MinISR: r.IntN(4)})
	}
	var quorum *decide.Quorum
	if r.IntN(2) == 0 {
		quorum = &decide.Quorum{Leader: int32(r.IntN(5) - 1)}
		for _, id := range subset(all) {
			quorum.Voters = append(quorum.Voters, decide.Voter{ID: id, LastCaughtUp: noon.Add(-time.Duration(r.IntN(4)) * time.Second)})
		}
	}
	return decide.NewCluster("c", brokers(subset(all)...), partitions, quorum, noon)
}
