package decide_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// cluster returns a cluster with the brokers 1, 2 and 3. Its only partition has replicas on all of them and
// min.insync.replicas 2, unless changed.
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

func elr(ids ...int32) func(*decide.Partition) { return func(p *decide.Partition) { p.ELR = ids } }

// silent makes brokers of a cluster not answer.
func silent(c *decide.Cluster, ids ...int32) *decide.Cluster {
	for i, b := range c.Brokers {
		c.Brokers[i].Silent = slices.Contains(ids, b.ID)
	}
	return c
}

// twoPartitions returns a cluster with the partitions of both.
func twoPartitions(a, b *decide.Cluster) *decide.Cluster {
	return decide.NewCluster("c", a.Brokers, append(a.Partitions(), b.Partitions()...), nil, noon)
}

func minISR(n int) func(*decide.Partition) { return func(p *decide.Partition) { p.MinISR = n } }

func min1(p *decide.Partition) { p.MinISR = 1 }

func TestBrokerRemovalDependsOnItsPartitions(t *testing.T) {
	t.Parallel()
	elsewhere := []decide.Partition{{Topic: "t", Replicas: []int32{2, 3}, ISR: []int32{2}, MinISR: 1}}
	for name, test := range map[string]struct {
		cluster  *decide.Cluster
		headroom int
		away     []int32
		reason   decide.Reason
	}{
		"all replicas are in sync":        {cluster: healthy()},
		"as many replicas as the minimum": {cluster: cluster(minISR(3))},
		"as many replicas as the minimum and another broker is down": {
			cluster: cluster(minISR(3), isr(1, 2)), reason: drainv1alpha1.ReasonUnderMinISR,
		},
		"two replicas, min.insync.replicas 2 and the other broker is down": {
			cluster: cluster(replicas(1, 2), isr(1)), reason: drainv1alpha1.ReasonUnderMinISR,
		},
		"two replicas, min.insync.replicas 2 and the other broker was removed": {
			cluster: cluster(replicas(1, 2)), away: []int32{2}, reason: drainv1alpha1.ReasonUnderMinISR,
		},
		"single replica":    {cluster: cluster(replicas(1), min1)},
		"below the minimum": {cluster: cluster(isr(1)), reason: drainv1alpha1.ReasonUnderMinISR},
		"no ISR contains the broker and the partition is below the minimum": {cluster: cluster(isr(2))},
		"no ISR contains the broker and the partition is at the minimum":    {cluster: cluster(isr(2, 3))},
		"no ISR contains the broker, but an ELR does": {
			cluster: cluster(isr(2), elr(1, 3)), reason: drainv1alpha1.ReasonUnderMinISR,
		},
		"no ISR contains the broker, but its single replica is online": {
			cluster: twoPartitions(cluster(isr(2, 3)), cluster(replicas(1), min1)),
		},
		"empty ISR and ELR":              {cluster: cluster(isr()), reason: drainv1alpha1.ReasonUnderMinISR},
		"at the minimum with the broker": {cluster: cluster(isr(1, 2)), reason: drainv1alpha1.ReasonAtMinISR},
		"at the minimum without the broker, which is in the ISR of another partition": {
			cluster: twoPartitions(cluster(isr(2, 3)), cluster()), reason: drainv1alpha1.ReasonUnderReplicated,
		},
		"above the minimum with a missing replica": {
			cluster: cluster(isr(1, 2), min1), reason: drainv1alpha1.ReasonUnderReplicated,
		},
		"another broker with the partition was removed": {
			cluster: healthy(), away: []int32{3}, reason: drainv1alpha1.ReasonAtMinISR,
		},
		"another broker without the partition is away": {cluster: healthy(), away: []int32{9}},
		"headroom is available":                        {cluster: cluster(min1), headroom: 1},
		"headroom is missing": {
			cluster: cluster(min1, isr(1, 2)), headroom: 1, reason: drainv1alpha1.ReasonAtMinISR,
		},
		"headroom is limited to the replication factor": {cluster: healthy(), headroom: 5},
		"a partition without a replica does not matter": {
			cluster: decide.NewCluster("c", brokers(1, 2, 3), elsewhere, nil, noon),
		},
		"the brokers of another cluster do not know it": {
			cluster: decide.NewCluster("c", brokers(7, 8), nil, nil, noon), reason: drainv1alpha1.ReasonBrokerNotInCluster,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := test.cluster.CheckRemoval(1, drainv1alpha1.RoleBroker, test.headroom, test.away)
			assert.Equal(t, test.reason, v.Reason, v.Message)
		})
	}
}

func TestBrokersThatDoNotAnswerCountAsDown(t *testing.T) {
	t.Parallel()
	const unreachable = drainv1alpha1.ReasonBrokerUnreachable
	for name, test := range map[string]struct {
		cluster *decide.Cluster
		away    []int32
		reason  decide.Reason
	}{
		"all answer":                          {cluster: healthy()},
		"a broker with the partition":         {cluster: silent(healthy(), 3), reason: unreachable},
		"the broker itself":                   {cluster: silent(healthy(), 1), reason: unreachable},
		"a broker without the partition":      {cluster: silent(cluster(replicas(1, 2)), 3)},
		"a broker that is being replaced":     {cluster: silent(healthy(), 3), away: []int32{3}},
		"the last broker with committed data": {cluster: silent(cluster(isr(2)), 2), reason: unreachable},
		"one of two with committed data":      {cluster: silent(cluster(isr(2, 3)), 2)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := test.cluster.CheckSilent(1, drainv1alpha1.RoleBroker, 0, test.away)
			assert.Equal(t, test.reason, v.Reason, v.Message)
		})
	}
}

func TestReplacementThatDoesNotAnswerIsNotInSync(t *testing.T) {
	t.Parallel()
	inSync, _ := healthy().InSync(3)
	assert.True(t, inSync)
	inSync, lagging := silent(healthy(), 3).InSync(3)
	assert.False(t, inSync)
	assert.Empty(t, lagging)
}

func TestMessageNamesTheBrokersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	c := silent(healthy(), 3)
	c.Brokers[2].Host = "kafka-2.kafka"
	v := c.CheckSilent(1, drainv1alpha1.RoleBroker, 0, nil)
	assert.Contains(t, v.Message, "do not answer: 3 (kafka-2.kafka);")
	assert.Equal(t, []string{"orders-0"}, v.Blocking)
}

// voters returns voters 1, 2, … that lag behind the leader by the given durations; -1 is unknown.
func voters(lag ...time.Duration) []decide.Voter {
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

func TestControllerRemovalRequiresAMajorityOfCaughtUpVoters(t *testing.T) {
	t.Parallel()
	quorum := func(lag ...time.Duration) *decide.Quorum { return &decide.Quorum{Leader: 1, Voters: voters(lag...)} }
	for name, test := range map[string]struct {
		quorum *decide.Quorum
		away   []int32
		reason decide.Reason
	}{
		"all have caught up":          {quorum: quorum(0, 0, 0)},
		"single voter":                {quorum: quorum(0)},
		"one lags":                    {quorum: quorum(0, 0, 3*time.Second), reason: drainv1alpha1.ReasonQuorumAtRisk},
		"one lags within the timeout": {quorum: quorum(0, 0, time.Second)},
		"one lags within a long timeout": {quorum: &decide.Quorum{
			Leader: 1, Voters: voters(0, 0, 3*time.Second), FetchTimeout: 5 * time.Second}},
		"one has never fetched": {quorum: quorum(0, 0, -1), reason: drainv1alpha1.ReasonQuorumAtRisk},
		"one of five lags":      {quorum: quorum(0, 0, 0, 0, time.Minute)},
		"one of five lags and one is away": {
			quorum: quorum(0, 0, 0, 0, time.Minute), away: []int32{2}, reason: drainv1alpha1.ReasonQuorumAtRisk,
		},
		"two voters":                    {quorum: quorum(0, 0)},
		"two voters and the other lags": {quorum: quorum(0, time.Minute), reason: drainv1alpha1.ReasonQuorumAtRisk},
		"two voters and the other is away": {
			quorum: quorum(0, 0), away: []int32{2}, reason: drainv1alpha1.ReasonQuorumAtRisk,
		},
		"no leader": {
			quorum: &decide.Quorum{Leader: -1, Voters: voters(0, 0, 0)}, reason: drainv1alpha1.ReasonQuorumLeaderless,
		},
		"the leader is removed": {quorum: &decide.Quorum{Leader: 2, Voters: voters(0, 0, 0)}},
		"observer": {
			quorum: &decide.Quorum{Leader: 2, Voters: voters(0, 0, 0)[1:], Observers: []int32{1}},
		},
		"quorum is not reported": {reason: drainv1alpha1.ReasonQuorumUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := decide.NewCluster("c", brokers(9), nil, test.quorum, noon)
			v := c.CheckRemoval(1, drainv1alpha1.RoleController, 0, test.away)
			assert.Equal(t, test.reason, v.Reason, v.Message)
		})
	}
}

// Controllers are 100 to 102. A policy without spec.brokerId.offset derives 1 from the pod name controller-1.
func TestControllerRoleRejectsTheIDOfABroker(t *testing.T) {
	t.Parallel()
	lagging := &decide.Quorum{Leader: 100, Observers: []int32{0, 1, 103}, Voters: []decide.Voter{
		{ID: 100, LastCaughtUp: noon}, {ID: 101, LastCaughtUp: noon}, {ID: 102, LastCaughtUp: noon.Add(-time.Minute)},
	}}
	down := []decide.Partition{{Topic: "t", Replicas: []int32{0, 2}, ISR: []int32{0}, MinISR: 1}}
	c := decide.NewCluster("c", brokers(0, 1), down, lagging, noon)
	for name, test := range map[string]struct {
		id     int32
		reason decide.Reason
	}{
		"live broker":               {id: 1, reason: drainv1alpha1.ReasonBrokerIDUnknown},
		"broker that is down":       {id: 2, reason: drainv1alpha1.ReasonBrokerIDUnknown},
		"voter":                     {id: 101, reason: drainv1alpha1.ReasonQuorumAtRisk},
		"observer, not a broker":    {id: 103},
		"neither broker nor member": {id: 104, reason: drainv1alpha1.ReasonBrokerNotInCluster},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := c.CheckRemoval(test.id, drainv1alpha1.RoleController, 0, nil)
			assert.Equal(t, test.reason, v.Reason, v.Message)
		})
	}
}

func TestRemovalOfAVoterFromATwoVoterQuorumIsReported(t *testing.T) {
	t.Parallel()
	unavailable := "cluster metadata is unavailable until controller 1 is back"
	for count, want := range map[int]string{1: unavailable, 2: unavailable, 3: ""} {
		quorum := &decide.Quorum{Leader: 1, Voters: voters(make([]time.Duration, count)...)}
		c := decide.NewCluster("c", brokers(9), nil, quorum, noon)
		warning := c.RemovalWarning(1)
		assert.Contains(t, warning, want)
		assert.Equal(t, want == "", warning == "", "%d voters: %s", count, warning)
	}
}

func TestIdentifyDerivesTheNodeIDOfAPod(t *testing.T) {
	t.Parallel()
	at := func(hosts ...string) *decide.Cluster {
		var b []decide.Broker
		for i, h := range hosts {
			b = append(b, decide.Broker{ID: int32(i), Host: h})
		}
		return decide.NewCluster("c", b, nil, nil, noon)
	}
	offset := func(n int32) *drainv1alpha1.BrokerID { return &drainv1alpha1.BrokerID{Offset: &n} }
	label := &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDLabel, Label: "id"}
	listener := &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDAdvertisedListener}
	for name, test := range map[string]struct {
		by      *drainv1alpha1.BrokerID
		pod     decide.Pod
		cluster *decide.Cluster
		id      int32
		message string
	}{
		"ordinal":            {pod: decide.Pod{Name: "kafka-12"}, cluster: at(), id: 12},
		"ordinal and offset": {by: offset(100), pod: decide.Pod{Name: "kafka-2"}, cluster: at(), id: 102},
		"negative id": {
			by: offset(-3), pod: decide.Pod{Name: "kafka-2"}, cluster: at(), message: "does not give a node id",
		},
		"name without a number": {
			pod: decide.Pod{Name: "kafka-x2k"}, cluster: at(), message: "does not give a node id",
		},
		"number is out of range": {
			pod: decide.Pod{Name: "kafka-99999999999"}, cluster: at(), message: "does not give a node id",
		},
		"label": {
			by: label, pod: decide.Pod{Name: "x", Labels: map[string]string{"id": "7"}}, cluster: at(), id: 7,
		},
		"missing label": {by: label, pod: decide.Pod{Name: "kafka-1"}, cluster: at(), message: "label id"},
		"advertised host name": {
			by: listener, pod: decide.Pod{Name: "kafka-b"}, cluster: at("kafka-a.svc", "kafka-b.svc"), id: 1,
		},
		"advertised IP": {
			by: listener, pod: decide.Pod{Name: "x", IP: "10.0.0.2"}, cluster: at("10.0.0.1", "10.0.0.2"), id: 1,
		},
		"two brokers advertise the IP": {by: listener, pod: decide.Pod{Name: "x", IP: "10.0.0.2"},
			cluster: at("10.0.0.2", "10.0.0.2"), message: "more than one"},
		"the brokers advertise another id": {pod: decide.Pod{Name: "kafka-1"}, cluster: at("kafka-1.kafka"),
			message: "gives node id 1, but the brokers advertise the pod as 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, fault := decide.Identify(test.by, &test.pod, test.cluster)
			assert.Equal(t, test.id, id)
			if test.message == "" {
				assert.Empty(t, fault)
				return
			}
			assert.Equal(t, drainv1alpha1.ReasonBrokerIDUnknown, fault.Reason)
			assert.Contains(t, fault.Message, test.message)
		})
	}
}

func TestClaimIsReleasedWhenTheReplacementIsInSync(t *testing.T) {
	t.Parallel()
	holder := decide.Holder{
		Namespace: "kafka", Pod: "kafka-1", UID: "old", BrokerID: ptr(int32(1)), Policy: "p", Since: noon, First: noon,
	}
	oldPod := decide.Pod{Name: "kafka-1", UID: "old", ReadySince: noon.Add(-time.Hour)}
	leaving := oldPod
	leaving.Terminating = true
	replacement := decide.Pod{Name: "kafka-1", UID: "new", ReadySince: noon.Add(time.Minute)}
	unready := decide.Pod{Name: "kafka-1", UID: "new"}
	at := func(after time.Duration, change ...func(*decide.Partition)) *decide.Cluster {
		c := cluster(change...)
		c.ObservedAt = noon.Add(after)
		return c
	}
	gone := decide.NewCluster("c", brokers(2, 3), nil, nil, noon.Add(time.Minute))
	shared := []decide.Partition{{Topic: "t", Replicas: []int32{1, 2}, ISR: []int32{1, 2}}}
	restarting := decide.NewCluster("c", brokers(2, 3), shared, nil, noon.Add(2*time.Minute))
	task := decide.Holder{Pod: "sink-tasks-1", UID: "old", Policy: "p", Since: noon}
	for name, test := range map[string]struct {
		holder decide.Holder
		seen   decide.ReleaseState
		after  time.Duration
		done   bool
	}{
		"the pod still exists": {seen: decide.ReleaseState{Pod: &oldPod, Cluster: at(0)}, after: time.Minute},
		"the pod was not evicted": {
			seen: decide.ReleaseState{Pod: &oldPod, Cluster: at(0)}, after: 2 * time.Minute, done: true,
		},
		"the pod terminates slowly": {seen: decide.ReleaseState{Pod: &leaving, Cluster: at(0)}, after: time.Hour},
		"there is no replacement":   {seen: decide.ReleaseState{Cluster: at(time.Minute)}, after: time.Minute},
		"the broker was removed from the cluster": {
			seen: decide.ReleaseState{Cluster: gone}, after: time.Minute, done: true,
		},
		"no replacement for a long time and all in sync": {
			seen: decide.ReleaseState{Cluster: at(time.Hour)}, after: time.Hour, done: true,
		},
		"the replacement is not ready": {
			seen: decide.ReleaseState{Pod: &unready, Cluster: at(time.Minute)}, after: time.Minute,
		},
		"the state of Kafka is older than the replacement": {
			seen: decide.ReleaseState{Pod: &replacement, Cluster: at(time.Minute)}, after: 2 * time.Minute,
		},
		"the replacement just became ready": {
			seen: decide.ReleaseState{Pod: &replacement, Cluster: at(65 * time.Second)}, after: 2 * time.Minute,
		},
		"its partitions lag": {
			seen: decide.ReleaseState{Pod: &replacement, Cluster: at(2*time.Minute, isr(2, 3))}, after: 2 * time.Minute,
		},
		"the broker is not registered": {
			seen: decide.ReleaseState{Pod: &replacement, Cluster: restarting}, after: 2 * time.Minute,
		},
		"Kafka is unreachable": {seen: decide.ReleaseState{Pod: &replacement}, after: 2 * time.Minute},
		"its partitions are in sync": {
			seen: decide.ReleaseState{Pod: &replacement, Cluster: at(2 * time.Minute)}, after: 2 * time.Minute, done: true,
		},
		"its policy was deleted": {
			seen: decide.ReleaseState{PolicyGone: true, Pod: &oldPod}, done: true,
		},
		"the task does not run in the replacement": {
			holder: task, seen: decide.ReleaseState{Pod: &replacement, Connector: &decide.Connector{}}, after: time.Minute,
		},
		"the task runs in the replacement": {holder: task, after: time.Minute, done: true,
			seen: decide.ReleaseState{Pod: &replacement, Connector: &decide.Connector{
				Units: []decide.Unit{{Pod: "sink-tasks-1", State: "Running"}}}}},
		"the connector was deleted": {holder: task, seen: decide.ReleaseState{}, after: time.Minute, done: true},
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
