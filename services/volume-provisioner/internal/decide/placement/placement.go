// Package placement chooses the node of each replica. A volume that exists anywhere is found again and never placed a
// second time.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Problem is why a replica has no node.
type Problem struct {
	Reason  storagev1alpha1.VolumeReason
	Message string
}

// Placer places the replicas of one set.
type Placer struct {
	state *observed.State
	// candidates are the nodes that spec.nodes selects and that run an agent, by name.
	candidates []*corev1.Node
	ledger     Ledger
	// onNode and inDomain count the replicas of the set by node and by topology domain.
	onNode, inDomain map[string]int
	// holders are the nodes with each value of the label spec.nodeAffinityKey.
	holders map[string][]string
}

// New returns a Placer. The volumes of the set that have a node count for the spread and the reservations.
func New(s *observed.State) *Placer {
	p := &Placer{
		state: s, ledger: NewLedger(s.Reserved, s.Agents), onNode: map[string]int{}, inDomain: map[string]int{},
		holders: map[string][]string{},
	}
	key := affinityKey(s.Set)
	for name, node := range s.Nodes {
		p.holders[node.Labels[key]] = append(p.holders[node.Labels[key]], name)
		if s.Agents[name] != nil && Selects(&s.Set.Spec, node) {
			p.candidates = append(p.candidates, node)
		}
	}
	slices.SortFunc(p.candidates, func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	seen := map[int32]bool{}
	for _, v := range s.Set.Status.Volumes {
		if v.Node != "" && !seen[v.Ordinal] && v.Ordinal < s.Set.Spec.Replicas {
			seen[v.Ordinal] = true
			p.count(v.Node)
		}
	}
	return p
}

// Placed reports whether all volumes of a set have a node that exists.
func Placed(set *storagev1alpha1.KafkaLocalVolumeSet, exists func(node string) bool) bool {
	nodes := make(map[string]string, len(set.Status.Volumes))
	for i := range set.Status.Volumes {
		nodes[set.Status.Volumes[i].Claim] = set.Status.Volumes[i].Node
	}
	for _, v := range spec.Volumes(set) {
		if node := nodes[v.Claim]; node == "" || !exists(node) {
			return false
		}
	}
	return true
}

// Selects reports whether spec.nodes selects a node.
func Selects(s *storagev1alpha1.KafkaLocalVolumeSetSpec, node *corev1.Node) bool {
	switch n := s.Nodes; {
	case n == nil:
		return true
	case n.Selector != nil:
		selector, err := metav1.LabelSelectorAsSelector(n.Selector)
		return err == nil && selector.Matches(labels.Set(node.Labels))
	case len(n.PerReplica) > 0:
		return slices.Contains(n.PerReplica, node.Name)
	default:
		return slices.Contains(n.List, node.Name)
	}
}

func affinityKey(set *storagev1alpha1.KafkaLocalVolumeSet) string {
	return cmp.Or(set.Spec.NodeAffinityKey, corev1.LabelHostname)
}

func (p *Placer) count(node string) {
	p.onNode[node]++
	p.inDomain[p.domain(p.state.Nodes[node])]++
}

// domain returns the value of spec.spreadTopologyKey. A node without the label is a domain of its own.
func (p *Placer) domain(node *corev1.Node) string {
	if node == nil {
		return ""
	}
	key := cmp.Or(p.state.Set.Spec.SpreadTopologyKey, corev1.LabelHostname)
	if value, ok := node.Labels[key]; ok {
		return "=" + value
	}
	return node.Name
}

// Place returns the node of a replica whose new volumes need bytes, or why there is none.
func (p *Placer) Place(ordinal int32, bytes int64) (string, *Problem) {
	set := p.state.Set
	if len(p.candidates) == 0 {
		return "", &Problem{storagev1alpha1.ReasonNoNodeMatches, p.noCandidates()}
	}
	if waiting := p.waiting(); waiting != "" {
		return "", &Problem{storagev1alpha1.ReasonWaitingForAgents, waiting}
	}
	var best *corev1.Node
	reasons := map[string]int{}
	full := 0
	for _, node := range p.candidates {
		if n := set.Spec.Nodes; n != nil && len(n.PerReplica) > 0 &&
			(int(ordinal) >= len(n.PerReplica) || n.PerReplica[ordinal] != node.Name) {
			continue
		}
		reason, noRoom := p.unfit(node, bytes)
		if reason != "" {
			reasons[reason]++
			if noRoom {
				full++
			}
			continue
		}
		if best == nil || p.better(node, best) {
			best = node
		}
	}
	if best == nil {
		reason := storagev1alpha1.ReasonNoNodeFits
		if full > 0 {
			reason = storagev1alpha1.ReasonInsufficientCapacity
		}
		return "", &Problem{reason, fmt.Sprintf("replica %d needs %s and fits on no node: %s", ordinal, text(bytes),
			summary(reasons))}
	}
	p.Assign(best.Name, bytes)
	return best.Name, nil
}

// Assign records that a replica is on a node, so that later replicas are spread and reserved accordingly.
func (p *Placer) Assign(node string, bytes int64) {
	p.count(node)
	p.ledger.reserve(p.state.Agents[node], p.state.Set.Spec.BasePath, bytes)
}

// Room returns the bytes that volumes of the set can still reserve on a node.
func (p *Placer) Room(node string) int64 {
	return p.ledger.room(p.state.Agents[node], p.state.Set.Spec.BasePath, p.state.Set.Spec.ReservedPercent)
}

// Reserved returns the bytes that volumes of all sets reserve on the file system of the set's base path on a node.
func (p *Placer) Reserved(node string) int64 {
	return p.ledger.Reserved(p.state.Agents[node], p.state.Set.Spec.BasePath)
}

// Reserve records a growth of a volume on a node.
func (p *Placer) Reserve(node string, bytes int64) {
	p.ledger.reserve(p.state.Agents[node], p.state.Set.Spec.BasePath, bytes)
}

// better prefers few replicas of the set in the domain, then on the node, then much room.
func (p *Placer) better(a, b *corev1.Node) bool {
	return cmp.Or(
		cmp.Compare(p.inDomain[p.domain(a)], p.inDomain[p.domain(b)]),
		cmp.Compare(p.onNode[a.Name], p.onNode[b.Name]),
		-cmp.Compare(p.Room(a.Name), p.Room(b.Name)),
		cmp.Compare(a.Name, b.Name),
	) < 0
}

// unfit returns why a node cannot have a new replica, empty if it can.
func (p *Placer) unfit(node *corev1.Node, bytes int64) (reason string, noRoom bool) {
	set := p.state.Set
	if node.DeletionTimestamp != nil {
		return "is being deleted", false
	}
	if node.Spec.Unschedulable && !p.state.Chosen {
		return "is cordoned", false
	}
	for _, t := range node.Spec.Taints {
		if !p.state.Chosen && t.Effect != corev1.TaintEffectPreferNoSchedule {
			return "has the taint " + t.Key, false
		}
	}
	key := affinityKey(set)
	if node.Labels[key] == "" {
		return "has no label " + key + " (spec.nodeAffinityKey)", false
	}
	if same := p.holders[node.Labels[key]]; len(same) > 1 {
		others := slices.DeleteFunc(slices.Clone(same), func(name string) bool { return name == node.Name })
		return "has the same value of label " + key + " (spec.nodeAffinityKey) as node " + slices.Min(others), false
	}
	fs := observed.FileSystem(p.state.Agents[node.Name], set.Spec.BasePath)
	if fs.State != storagev1alpha1.FileSystemReady {
		return "reports: " + cmp.Or(fs.Message, "spec.basePath is "+string(fs.State)), false
	}
	if set.Spec.Quota == storagev1alpha1.QuotaXFS && !fs.Quota {
		return "has no project quota on " + set.Spec.BasePath + " (spec.quota)", false
	}
	if room := p.Room(node.Name); room < bytes {
		return fmt.Sprintf("has room for %s", text(max(room, 0))), true
	}
	return "", false
}

// waiting names the nodes whose agents have not reported the base path. They may have directories of the set.
func (p *Placer) waiting() string {
	var names []string
	for _, node := range p.candidates {
		if observed.FileSystem(p.state.Agents[node.Name], p.state.Set.Spec.BasePath) == nil {
			names = append(names, node.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("the agents of nodes %s have not reported %s yet; if an agent does not run, start it, or delete "+
		"the LocalVolumeNode if the node has no data", strings.Join(names[:min(len(names), 5)], ", "),
		p.state.Set.Spec.BasePath)
}

func (p *Placer) noCandidates() string {
	s := p.state.Set.Spec
	switch n := s.Nodes; {
	case len(p.state.Agents) == 0:
		return "no node runs the agent; install the DaemonSet volume-provisioner-agent"
	case n == nil:
		return "the nodes of all LocalVolumeNodes were deleted; add a node that runs the agent"
	case n.Selector != nil:
		return fmt.Sprintf("spec.nodes.selector %s selects no node that runs the agent; correct it, or label a node",
			metav1.FormatLabelSelector(n.Selector))
	case len(n.PerReplica) > 0:
		return fmt.Sprintf("spec.nodes.perReplica %s has no node that runs the agent; correct it",
			strings.Join(n.PerReplica, ", "))
	default:
		return fmt.Sprintf("spec.nodes.list %s has no node that runs the agent; correct it", strings.Join(n.List, ", "))
	}
}

// summary returns for example "2 nodes: is cordoned; 1 node: has room for 3Gi".
func summary(reasons map[string]int) string {
	if len(reasons) == 0 {
		return "spec.nodes.perReplica names a node that does not exist or runs no agent"
	}
	var parts []string
	for reason, n := range reasons {
		parts = append(parts, fmt.Sprintf("%d of the nodes %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts[:min(len(parts), 5)], "; ")
}

func text(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }
