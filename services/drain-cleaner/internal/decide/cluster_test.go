package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// cluster has the brokers 1, 2, 3 and one partition on all of them, min.insync.replicas 2, unless changed.
func cluster(change ...func(*decide.Partition)) *decide.Cluster {
	p := decide.Partition{Topic: "orders", Leader: 1, Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}, MinISR: 2}
	for _, c := range change {
		c(&p)
	}
	return decide.NewCluster("c", brokers(1, 2, 3), []decide.Partition{p}, nil, noon)
}

func brokers(ids ...int32) []decide.Broker {
	var b []decide.Broker
	for _, id := range ids {
		b = append(b, decide.Broker{ID: id})
	}
	return b
}

func isr(ids ...int32) func(*decide.Partition) { return func(p *decide.Partition) { p.ISR = ids } }

func replicas(ids ...int32) func(*decide.Partition) {
	return func(p *decide.Partition) { p.Replicas, p.ISR = ids, ids }
}

func minISR(n int) func(*decide.Partition) { return func(p *decide.Partition) { p.MinISR = n } }

func min1(p *decide.Partition) { p.MinISR = 1 }

func TestJudgesTheBrokerByItsPartitions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cluster  *decide.Cluster
		headroom int
		away     []int32
		reason   decide.Reason
	}{
		"all in sync":                        {cluster: healthy()},
		"as many replicas as the minimum":    {cluster: cluster(minISR(3))},
		"a single replica":                   {cluster: cluster(replicas(1), min1)},
		"below the minimum":                  {cluster: cluster(isr(1)), reason: decide.UnderMinISR},
		"below the minimum without it":       {cluster: cluster(isr(2)), reason: decide.UnderMinISR},
		"no leader and nobody in sync":       {cluster: cluster(isr()), reason: decide.UnderMinISR},
		"at the minimum with it":             {cluster: cluster(isr(1, 2)), reason: decide.AtMinISR},
		"at the minimum without it":          {cluster: cluster(isr(2, 3)), reason: decide.UnderReplicated},
		"above the minimum and one missing":  {cluster: cluster(isr(1, 2), min1), reason: decide.UnderReplicated},
		"one that was let go is gone":        {cluster: healthy(), away: []int32{3}, reason: decide.AtMinISR},
		"one that was let go shares nothing": {cluster: healthy(), away: []int32{9}},
		"headroom that there is":             {cluster: cluster(min1), headroom: 1},
		"headroom that there is not":         {cluster: cluster(min1, isr(1, 2)), headroom: 1, reason: decide.AtMinISR},
		"headroom beyond the factor is cut":  {cluster: healthy(), headroom: 5},
		"a partition elsewhere does not matter": {cluster: decide.NewCluster("c", brokers(1, 2, 3),
			[]decide.Partition{{Topic: "t", Replicas: []int32{2, 3}, ISR: []int32{2}, MinISR: 1}}, nil, noon)},
		"another cluster": {cluster: decide.NewCluster("c", brokers(7, 8), nil, nil, noon), reason: decide.BrokerNotInCluster},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := test.cluster.Judge(1, drainv1alpha1.RoleBroker, test.headroom, test.away)
			assert.Equal(t, test.reason, v.Reason, v.Message)
		})
	}
}

func TestJudgesTheControllerByItsQuorum(t *testing.T) {
	t.Parallel()
	voters := func(lag ...time.Duration) []decide.Voter {
		var all []decide.Voter
		for i, l := range lag {
			v := decide.Voter{ID: int32(i + 1)}
			if l >= 0 {
				v.LastCaughtUp = noon.Add(-l)
			}
			all = append(all, v)
		}
		return all
	}
	for name, test := range map[string]struct {
		quorum *decide.Quorum
		away   []int32
		reason decide.Reason
	}{
		"all have caught up":               {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, 0)}},
		"the only voter":                   {quorum: &decide.Quorum{Leader: 1, Voters: voters(0)}},
		"one lags":                         {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, 3*time.Second)}, reason: decide.QuorumAtRisk},
		"one lags within the timeout":      {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, time.Second)}},
		"one lags within a longer timeout": {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, 3*time.Second), FetchTimeout: 5 * time.Second}},
		"one has never been seen":          {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, -1)}, reason: decide.QuorumAtRisk},
		"one of five lags":                 {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, 0, 0, time.Minute)}},
		"one of five lags and one is away": {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0, 0, 0, time.Minute)}, away: []int32{2}, reason: decide.QuorumAtRisk},
		"two voters can spare none":        {quorum: &decide.Quorum{Leader: 1, Voters: voters(0, 0)}, reason: decide.QuorumAtRisk},
		"no leader":                        {quorum: &decide.Quorum{Leader: -1, Voters: voters(0, 0, 0)}, reason: decide.QuorumLeaderless},
		"the leader itself goes":           {quorum: &decide.Quorum{Leader: 2, Voters: voters(0, 0, 0)}},
		"a node without a vote":            {quorum: &decide.Quorum{Leader: 2, Voters: voters(0, 0, 0)[1:], Observers: []int32{1}}},
		"a quorum that is not told":        {reason: decide.QuorumUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := decide.NewCluster("c", brokers(1), nil, test.quorum, noon)
			v := c.Judge(1, drainv1alpha1.RoleController, 0, test.away)
			assert.Equal(t, test.reason, v.Reason, v.Message)
		})
	}
}

func TestTellsTheNodeIDOfAPod(t *testing.T) {
	t.Parallel()
	at := func(hosts ...string) *decide.Cluster {
		var b []decide.Broker
		for i, h := range hosts {
			b = append(b, decide.Broker{ID: int32(i), Host: h})
		}
		return decide.NewCluster("c", b, nil, nil, noon)
	}
	for name, test := range map[string]struct {
		by      *drainv1alpha1.BrokerID
		pod     decide.Pod
		cluster *decide.Cluster
		id      int32
		fault   string
	}{
		"by the number in its name":   {pod: decide.Pod{Name: "kafka-12"}, cluster: at(), id: 12},
		"by the number and an offset": {by: &drainv1alpha1.BrokerID{Offset: ptr(int32(100))}, pod: decide.Pod{Name: "kafka-2"}, cluster: at(), id: 102},
		"not below zero":              {by: &drainv1alpha1.BrokerID{Offset: ptr(int32(-3))}, pod: decide.Pod{Name: "kafka-2"}, cluster: at(), fault: "does not end in a number"},
		"not without a number":        {pod: decide.Pod{Name: "kafka-x2k"}, cluster: at(), fault: "does not end in a number"},
		"not by a number too large":   {pod: decide.Pod{Name: "kafka-99999999999"}, cluster: at(), fault: "does not end in a number"},
		"by a label": {by: &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDLabel, Label: "id"},
			pod: decide.Pod{Name: "x", Labels: map[string]string{"id": "7"}}, cluster: at(), id: 7},
		"not by a label that is missing": {by: &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDLabel, Label: "id"}, pod: decide.Pod{Name: "kafka-1"}, cluster: at(), fault: "label id"},
		"by the host that the broker advertises": {by: &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDAdvertisedListener},
			pod: decide.Pod{Name: "kafka-b"}, cluster: at("kafka-a.svc", "kafka-b.svc"), id: 1},
		"by the address that the broker advertises": {by: &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDAdvertisedListener},
			pod: decide.Pod{Name: "x", IP: "10.0.0.2"}, cluster: at("10.0.0.1", "10.0.0.2"), id: 1},
		"not where two advertise it": {by: &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDAdvertisedListener},
			pod: decide.Pod{Name: "x", IP: "10.0.0.2"}, cluster: at("10.0.0.2", "10.0.0.2"), fault: "more than one"},
		"not where the brokers say otherwise": {pod: decide.Pod{Name: "kafka-1"}, cluster: at("kafka-1.kafka"), fault: "advertise it as 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, fault := decide.Identify(test.by, &test.pod, test.cluster)
			assert.Equal(t, test.id, id)
			if test.fault == "" {
				assert.Empty(t, fault)
				return
			}
			assert.Equal(t, decide.BrokerIDUnknown, fault.Reason)
			assert.Contains(t, fault.Message, test.fault)
		})
	}
}

func TestGivesAClaimBackWhenTheReplacementIsInSync(t *testing.T) {
	t.Parallel()
	holder := decide.Holder{Namespace: "kafka", Pod: "kafka-1", UID: "old", BrokerID: ptr(int32(1)), Policy: "p", Since: noon, First: noon}
	oldPod := decide.Pod{Name: "kafka-1", UID: "old", ReadySince: noon.Add(-time.Hour)}
	leaving := oldPod
	leaving.Terminating = true
	replacement := decide.Pod{Name: "kafka-1", UID: "new", ReadySince: noon.Add(time.Minute)}
	unready := decide.Pod{Name: "kafka-1", UID: "new"}
	at := func(after time.Duration, change ...func(*decide.Partition)) *decide.Cluster {
		c := cluster(change...)
		c.Taken = noon.Add(after)
		return c
	}
	gone := decide.NewCluster("c", brokers(2, 3), nil, nil, noon.Add(time.Minute))
	restarting := decide.NewCluster("c", brokers(2, 3), []decide.Partition{{Topic: "t", Replicas: []int32{1, 2}, ISR: []int32{1, 2}}}, nil, noon.Add(2*time.Minute))
	task := decide.Holder{Pod: "sink-tasks-1", UID: "old", Policy: "p", Since: noon}
	for name, test := range map[string]struct {
		holder decide.Holder
		seen   decide.Seen
		after  time.Duration
		done   bool
	}{
		"not while the pod has not left":                 {seen: decide.Seen{Pod: &oldPod, Cluster: at(0)}, after: time.Minute},
		"where the pod was never evicted":                {seen: decide.Seen{Pod: &oldPod, Cluster: at(0)}, after: 2 * time.Minute, done: true},
		"not while the pod takes its time to leave":      {seen: decide.Seen{Pod: &leaving, Cluster: at(0)}, after: time.Hour},
		"not while there is no replacement":              {seen: decide.Seen{Cluster: at(time.Minute)}, after: time.Minute},
		"where none is missed any longer":                {seen: decide.Seen{Cluster: gone}, after: time.Minute, done: true},
		"where none came for long, and all is in sync":   {seen: decide.Seen{Cluster: at(time.Hour)}, after: time.Hour, done: true},
		"not while the replacement is not ready":         {seen: decide.Seen{Pod: &unready, Cluster: at(time.Minute)}, after: time.Minute},
		"not on what the brokers said before it was":     {seen: decide.Seen{Pod: &replacement, Cluster: at(time.Minute)}, after: 2 * time.Minute},
		"not on what they say while they may remember":   {seen: decide.Seen{Pod: &replacement, Cluster: at(65 * time.Second)}, after: 2 * time.Minute},
		"not while its partitions lag":                   {seen: decide.Seen{Pod: &replacement, Cluster: at(2*time.Minute, isr(2, 3))}, after: 2 * time.Minute},
		"not while it is not back in the cluster":        {seen: decide.Seen{Pod: &replacement, Cluster: restarting}, after: 2 * time.Minute},
		"not while Kafka does not answer":                {seen: decide.Seen{Pod: &replacement}, after: 2 * time.Minute},
		"when its partitions are in sync":                {seen: decide.Seen{Pod: &replacement, Cluster: at(2 * time.Minute)}, after: 2 * time.Minute, done: true},
		"when its policy is gone":                        {seen: decide.Seen{PolicyGone: true, Pod: &oldPod}, done: true},
		"not while a task's replacement does not run it": {holder: task, seen: decide.Seen{Pod: &replacement, Connector: &decide.Connector{}}, after: time.Minute},
		"when a task's replacement runs it": {holder: task, after: time.Minute, done: true,
			seen: decide.Seen{Pod: &replacement, Connector: &decide.Connector{Units: []decide.Unit{{Pod: "sink-tasks-1", State: "Running"}}}}},
		"when the connector is gone": {holder: task, seen: decide.Seen{}, after: time.Minute, done: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := holder
			if test.holder.Pod != "" {
				h = test.holder
			}
			done, message := decide.Release(h, test.seen, decide.DefaultPatience, noon.Add(test.after))
			assert.Equal(t, test.done, done, message)
		})
	}
}
