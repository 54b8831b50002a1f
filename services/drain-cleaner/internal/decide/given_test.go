package decide_test

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

var strimziDefaults = decide.Settings{DrainKafka: true, DrainZooKeeper: true, DenyEviction: true}

// given are the values of the inputs of a decision. The zero value has no policy, an unknown node and no budgets.
type given struct {
	settings  *decide.Settings
	request   decide.Request
	pod       *decide.Pod
	evicted   *decide.RecentEviction
	policies  []*drainv1alpha1.KafkaDrainPolicy
	node      decide.Node
	volumes   []string
	connector *decide.Connector
	cluster   *decide.Cluster
	fault     decide.Fault
	holders   []decide.Holder
	budgets   []decide.Budget
	claimed   bool
}

// live returns a state whose inputs were all read for the review.
func (g given) live() decide.State {
	s := decide.State{
		Settings: strimziDefaults, Request: g.request, Evicted: g.evicted,
		WithoutKafka: decide.FromSyncedCache(false),
		Pod:          decide.FromLiveRead(g.pod), Policies: decide.FromLiveRead(g.policies),
		Node: decide.FromLiveRead(g.node), Volumes: decide.FromLiveRead(g.volumes),
		Connector: decide.FromLiveRead(g.connector), Cluster: decide.FromLiveRead(g.cluster),
		Holders: decide.FromLiveRead(g.holders), Budgets: decide.FromLiveRead(g.budgets),
		Claimed: decide.FromLiveRead(g.claimed),
	}
	if g.settings != nil {
		s.Settings = *g.settings
	}
	if g.cluster == nil {
		fault := g.fault
		if fault.Reason == "" {
			fault = decide.Fault{Reason: drainv1alpha1.ReasonKafkaUnreachable, Message: "connection refused"}
		}
		s.Cluster = decide.Unreadable[*decide.Cluster](fault)
	}
	return s
}

// cached returns a state whose inputs were read from caches, if they can be.
func (g given) cached() decide.State {
	s := g.live()
	s.Pod, s.Policies = decide.FromCache(g.pod), decide.FromCache(g.policies)
	s.Node, s.Budgets = decide.FromCache(g.node), decide.FromCache(g.budgets)
	s.Holders = decide.FromCache(g.holders)
	return s
}

var errTimeout = errors.New("the server did not answer within 5s")

func strimziPod(change ...func(*decide.Pod)) *decide.Pod {
	p := &decide.Pod{
		Namespace: "kafka", Name: "my-cluster-kafka-1", UID: "uid-1", Node: "node-1", Phase: corev1.PodRunning,
		ReadySince: noon.Add(-time.Hour),
		Labels: map[string]string{
			contract.StrimziKind: contract.StrimziKindKafka, contract.StrimziName: "my-cluster-kafka",
		},
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

// drainingSince makes the drain of a pod begin some time ago.
func drainingSince(d time.Duration) func(*decide.Pod) {
	return func(p *decide.Pod) { p.DrainSince, p.DrainLast = noon.Add(-d), noon }
}

func eviction(change ...func(*decide.Request)) decide.Request {
	r := decide.Request{Eviction: true, Namespace: "kafka", Name: "my-cluster-kafka-1"}
	for _, c := range change {
		c(&r)
	}
	return r
}
