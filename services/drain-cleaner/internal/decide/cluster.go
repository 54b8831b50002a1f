package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// maxNamed is how many partitions a message and a status name.
const maxNamed = 5

// Broker is a broker that the cluster counts as alive.
type Broker struct {
	ID int32
	// Host that clients are told to connect to.
	Host string
}

// Partition is one partition as the brokers describe it.
type Partition struct {
	Topic string
	ID    int32
	// Leader is -1 while there is none.
	Leader        int32
	Replicas, ISR []int32
	// MinISR is min.insync.replicas of the topic.
	MinISR int
}

func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.ID) }

// Cluster is a look at a Kafka cluster.
type Cluster struct {
	// ID of the cluster.
	ID string
	// Brokers that are alive.
	Brokers []Broker
	// Quorum of KRaft controllers; nil where the brokers do not tell.
	Quorum *Quorum
	// Taken is when the look began.
	Taken time.Time

	partitions []Partition
	byBroker   map[int32][]int
}

// NewCluster puts a look together.
func NewCluster(id string, brokers []Broker, partitions []Partition, quorum *Quorum, taken time.Time) *Cluster {
	c := &Cluster{ID: id, Brokers: brokers, Quorum: quorum, Taken: taken, partitions: partitions, byBroker: map[int32][]int{}}
	for i, p := range partitions {
		for _, replica := range p.Replicas {
			c.byBroker[replica] = append(c.byBroker[replica], i)
		}
	}
	return c
}

// Verdict is why a node may not go; the zero value says that it may.
type Verdict struct {
	Reason   Reason
	Message  string
	Blocking []string
}

// alive tells whether a broker is registered and not fenced.
func (c *Cluster) alive(id int32) bool {
	return slices.ContainsFunc(c.Brokers, func(b Broker) bool { return b.ID == id })
}

// Knows tells whether the cluster has ever heard of a node of that id.
func (c *Cluster) Knows(id int32) bool {
	return c.alive(id) || len(c.byBroker[id]) > 0 || c.Quorum.knows(id)
}

// Judge says whether a node may go while those in away count as gone too. It asks for the partitions and, where the node is a
// voter, for the quorum, whatever the role: a combined node is both.
func (c *Cluster) Judge(id int32, role drainv1alpha1.Role, headroom int, away []int32) Verdict {
	if !c.Knows(id) {
		return Verdict{Reason: BrokerNotInCluster, Message: fmt.Sprintf("the cluster has no node %d; are spec.bootstrapServers and spec.brokerId right?", id)}
	}
	if v := c.partitionsFeel(id, headroom, away); v.Reason != "" {
		return v
	}
	if role == drainv1alpha1.RoleController && c.Quorum == nil {
		return Verdict{Reason: QuorumUnknown, Message: "the brokers do not tell the KRaft quorum; may the user describe the cluster?"}
	}
	return c.Quorum.feels(id, away)
}

func (c *Cluster) partitionsFeel(id int32, headroom int, away []int32) Verdict {
	worst, blocking := Reason(""), []string{}
	for _, i := range c.byBroker[id] {
		reason := c.partitions[i].feels(id, headroom, away)
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
	return Verdict{Reason: worst, Blocking: blocking, Message: fmt.Sprintf("%s: %s", sentence[worst], some(blocking))}
}

var severity = map[Reason]int{UnderReplicated: 1, AtMinISR: 2, UnderMinISR: 3}

var sentence = map[Reason]string{
	UnderReplicated: "partitions that the broker shares are not fully replicated",
	AtMinISR:        "partitions would be below min.insync.replicas without the broker",
	UnderMinISR:     "partitions that the broker shares are below min.insync.replicas",
}

// feels follows Strimzi's rolling of brokers, and is stricter in that it waits for every replica.
func (p Partition) feels(id int32, headroom int, away []int32) Reason {
	if len(p.Replicas) <= p.MinISR {
		// Nothing protects it: it loses its minimum whenever any of its brokers goes, and would keep this one for ever.
		return ""
	}
	inSync := 0
	for _, replica := range p.ISR {
		if !slices.Contains(away, replica) {
			inSync++
		}
	}
	here := slices.Contains(p.ISR, id) && !slices.Contains(away, id)
	wanted := max(p.MinISR, min(p.MinISR+headroom, len(p.Replicas)-1))
	switch {
	case inSync < p.MinISR:
		return UnderMinISR
	case here && inSync-1 < wanted:
		return AtMinISR
	case inSync < len(p.Replicas):
		return UnderReplicated
	}
	return ""
}

// InSync tells whether a node is alive and every replica that it has is in sync; a node that is a voter has to have caught up too.
// A node that the cluster no longer knows is missed by nobody.
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
	if isBroker && !c.alive(id) || !c.Quorum.caughtUp(id) {
		return false, lagging
	}
	return len(lagging) == 0, lagging
}

// some names the first few.
func some(names []string) string {
	if len(names) <= maxNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
}

// Partitions are all that there are.
func (c *Cluster) Partitions() []Partition { return c.partitions }
