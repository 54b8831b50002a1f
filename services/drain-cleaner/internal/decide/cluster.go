package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// maxListed is the maximum number of partitions in a message and in the status.
const maxListed = 5

// Broker is a live broker.
type Broker struct {
	ID int32
	// Host is the host of the broker's advertised listener.
	Host string
	// Silent is true if the broker does not answer although the cluster lists it as live. Kafka removes a broker that has
	// crashed from the in-sync replicas only after broker.session.timeout.ms, or later if the controller has restarted.
	Silent bool
}

// Partition is the state of one partition.
type Partition struct {
	Topic string
	ID    int32
	// Leader is -1 if the partition has no leader.
	Leader        int32
	Replicas, ISR []int32
	// ELR are the eligible leader replicas (KIP-966): replicas outside of the ISR that have all committed records. It is
	// empty unless the ISR is smaller than MinISR.
	ELR []int32
	// MinISR is min.insync.replicas of the topic.
	MinISR int
}

func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.ID) }

// Cluster is the state of a Kafka cluster.
type Cluster struct {
	// ID is the cluster id.
	ID string
	// Brokers are the live brokers.
	Brokers []Broker
	// Quorum is the KRaft quorum. It is nil if the brokers do not report one.
	Quorum *Quorum
	// ObservedAt is the start time of the query.
	ObservedAt time.Time

	partitions []Partition
	byBroker   map[int32][]int
}

// NewCluster returns a Cluster with the given state.
func NewCluster(
	id string, brokers []Broker, partitions []Partition, quorum *Quorum, observedAt time.Time,
) *Cluster {
	c := &Cluster{
		ID: id, Brokers: brokers, Quorum: quorum, ObservedAt: observedAt, partitions: partitions, byBroker: map[int32][]int{},
	}
	for i, p := range partitions {
		for _, replica := range p.Replicas {
			c.byBroker[replica] = append(c.byBroker[replica], i)
		}
	}
	return c
}

// Verdict is the reason why a node must not be removed. The zero value means that it may be removed.
type Verdict struct {
	Reason   Reason
	Message  string
	Blocking []string
}

// isLive reports whether a broker is registered and not fenced.
func (c *Cluster) isLive(id int32) bool {
	return slices.ContainsFunc(c.Brokers, func(b Broker) bool { return b.ID == id })
}

// answers reports whether a broker is live and answers.
func (c *Cluster) answers(id int32) bool {
	return slices.ContainsFunc(c.Brokers, func(b Broker) bool { return b.ID == id && !b.Silent })
}

// isBroker reports whether a node is a live broker or has replicas.
func (c *Cluster) isBroker(id int32) bool { return c.isLive(id) || len(c.byBroker[id]) > 0 }

// Knows reports whether the node is a live broker, has replicas, or is a member or an observer of the quorum.
func (c *Cluster) Knows(id int32) bool {
	return c.isBroker(id) || c.Quorum.knows(id)
}

// CheckRemoval reports whether a node may be removed while the nodes in away count as unavailable. It checks the
// partitions and, for a voter, the quorum. It does so for every role, because a combined node is both broker and
// controller.
func (c *Cluster) CheckRemoval(id int32, role drainv1alpha1.Role, headroom int, away []int32) Verdict {
	isController := role == drainv1alpha1.RoleController
	switch {
	case isController && c.Quorum == nil:
		return Verdict{Reason: drainv1alpha1.ReasonQuorumUnknown,
			Message: "the brokers do not report the KRaft quorum; grant the Kafka user Describe on the cluster"}
	case !c.Knows(id):
		return Verdict{Reason: drainv1alpha1.ReasonBrokerNotInCluster, Message: fmt.Sprintf(
			"the cluster has no node %d; check spec.bootstrapServers and spec.brokerId", id)}
	case isController && c.isBroker(id):
		// With a wrong spec.brokerId, a controller pod has the id of a broker. The check of the broker says nothing about the
		// controller.
		return Verdict{Reason: drainv1alpha1.ReasonBrokerIDUnknown, Message: fmt.Sprintf(
			"node %d is a broker, but spec.role is controller; "+
				"set spec.brokerId, for example its offset, or use role broker for combined nodes", id)}
	}
	if v := c.checkPartitions(id, headroom, away); v.Reason != "" {
		return v
	}
	return c.Quorum.checkRemoval(id, away)
}

// CheckSilent reports whether a node that CheckRemoval allows to be removed is needed in place of brokers that do not
// answer. Nodes in away are unavailable in any case.
func (c *Cluster) CheckSilent(id int32, role drainv1alpha1.Role, headroom int, away []int32) Verdict {
	ids, names := slices.Clone(away), []string{}
	for _, b := range c.Brokers {
		if b.Silent && !slices.Contains(away, b.ID) {
			ids = append(ids, b.ID)
			names = append(names, fmt.Sprintf("%d (%s)", b.ID, b.Host))
		}
	}
	if len(names) == 0 {
		return Verdict{}
	}
	v := c.CheckRemoval(id, role, headroom, ids)
	if v.Reason == "" {
		return Verdict{}
	}
	return Verdict{Reason: drainv1alpha1.ReasonBrokerUnreachable, Blocking: v.Blocking, Message: fmt.Sprintf(
		"Kafka lists these brokers as live, but they do not answer: %s; if they run, check their advertised listeners and "+
			"network policies", list(names))}
}

// RemovalWarning describes an effect of the removal of a node that CheckRemoval allows, or is empty.
func (c *Cluster) RemovalWarning(id int32) string { return c.Quorum.removalWarning(id) }

func (c *Cluster) checkPartitions(id int32, headroom int, away []int32) Verdict {
	if !c.hasCommittedData(id, away) {
		return Verdict{}
	}
	worst, blocking := Reason(""), []string{}
	for _, i := range c.byBroker[id] {
		reason := c.partitions[i].checkRemoval(id, headroom, away)
		if reason == "" {
			continue
		}
		blocking = append(blocking, c.partitions[i].String())
		if worst == "" || severity[reason] > severity[worst] {
			worst = reason
		}
	}
	if worst == "" {
		return Verdict{}
	}
	slices.Sort(blocking)
	return Verdict{
		Reason:   worst,
		Blocking: blocking,
		Message:  fmt.Sprintf("%s: %s", partitionMessages[worst], list(blocking)),
	}
}

// hasCommittedData reports whether a partition may need its replica on the broker: the replica is in the ISR or in the
// ELR, or no other broker that is available has such a replica. Partitions with one replica do not count.
func (c *Cluster) hasCommittedData(id int32, away []int32) bool {
	return slices.ContainsFunc(c.byBroker[id], func(i int) bool {
		p := c.partitions[i]
		eligible := slices.Concat(p.ISR, p.ELR)
		isAvailable := func(other int32) bool { return c.answers(other) && !slices.Contains(away, other) }
		return len(p.Replicas) > 1 && (slices.Contains(eligible, id) || !slices.ContainsFunc(eligible, isAvailable))
	})
}

var severity = map[Reason]int{
	drainv1alpha1.ReasonUnderReplicated: 1, drainv1alpha1.ReasonAtMinISR: 2, drainv1alpha1.ReasonUnderMinISR: 3,
}

var partitionMessages = map[Reason]string{
	drainv1alpha1.ReasonUnderReplicated: "partitions with a replica on the broker are under-replicated",
	drainv1alpha1.ReasonAtMinISR:        "partitions would drop below min.insync.replicas without the broker",
	drainv1alpha1.ReasonUnderMinISR:     "partitions with a replica on the broker are below min.insync.replicas",
}

// checkRemoval applies the rules of Strimzi's rolling update. It is stricter: it waits until every replica is in sync.
func (p Partition) checkRemoval(id int32, headroom int, away []int32) Reason {
	if len(p.Replicas) <= 1 {
		return ""
	}
	inSync := 0
	for _, replica := range p.ISR {
		if !slices.Contains(away, replica) {
			inSync++
		}
	}
	isInSync := slices.Contains(p.ISR, id) && !slices.Contains(away, id)
	required := max(p.MinISR, min(p.MinISR+headroom, len(p.Replicas)-1))
	switch {
	case inSync == len(p.Replicas) && len(p.Replicas) <= p.MinISR:
		// The partition drops below its minimum whenever one of its brokers is removed. Waiting does not help any more.
		return ""
	case inSync < min(p.MinISR, len(p.Replicas)):
		return drainv1alpha1.ReasonUnderMinISR
	case isInSync && inSync-1 < required:
		return drainv1alpha1.ReasonAtMinISR
	case inSync < len(p.Replicas):
		return drainv1alpha1.ReasonUnderReplicated
	}
	return ""
}

// InSync reports whether a node is live and answers, and all of its replicas are in sync; a voter must have caught up
// too. It returns the partitions that are not in sync. A node that the cluster does not know counts as in sync.
func (c *Cluster) InSync(id int32) (inSync bool, lagging []string) {
	if !c.Knows(id) {
		return true, nil
	}
	for _, i := range c.byBroker[id] {
		if !slices.Contains(c.partitions[i].ISR, id) {
			lagging = append(lagging, c.partitions[i].String())
		}
	}
	isBroker := len(c.byBroker[id]) > 0 || !c.Quorum.isVoter(id)
	if isBroker && !c.answers(id) || !c.Quorum.hasCaughtUp(id) {
		return false, lagging
	}
	return len(lagging) == 0, lagging
}

// list joins the first names, and counts the others.
func list(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
}

// Partitions returns all partitions of the cluster.
func (c *Cluster) Partitions() []Partition { return c.partitions }
