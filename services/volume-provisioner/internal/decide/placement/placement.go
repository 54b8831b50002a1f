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

	"github.com/weir-dev/weir/apis/contract"
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
	// replicas counts the replicas of the set by node and by topology domain.
	onNode, inDomain map[string]int
}

// New returns a Placer. The volumes of the set that have a node count for the spread and the reservations.
func New(s *observed.State) *Placer {
	p := &Placer{state: s, ledger: NewLedger(s), onNode: map[string]int{}, inDomain: map[string]int{}}
	for name, node := range s.Nodes {
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
	key := cmp.Or(set.Spec.NodeAffinityKey, corev1.LabelHostname)
	if node.Labels[key] == "" {
		return "has no label " + key + " (spec.nodeAffinityKey)", false
	}
	for _, other := range p.state.Nodes {
		if other.Name != node.Name && other.Labels[key] == node.Labels[key] {
			return "has the same value of label " + key + " (spec.nodeAffinityKey) as node " + other.Name, false
		}
	}
	fs := observed.FileSystem(p.state.Agents[node.Name], set.Spec.BasePath)
	if fs.State != storagev1alpha1.FileSystemReady {
		return "has base path state " + string(fs.State), false
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

// Origin is where an existing volume was found.
type Origin struct {
	Node string
	// Existed is true if the directory has existed with a marker.
	Existed bool
}

// Find returns the node that already has the volume: according to its PersistentVolume, to the work of an agent, or to
// a marker that an agent has found. It returns an empty node if the volume is new.
func Find(s *observed.State, v spec.Volume) (Origin, *Problem) {
	id := v.ID()
	for _, pv := range s.VolumesByClaim[v.Claim] {
		if pv.Spec.Local == nil || pv.Spec.Local.Path != v.Directory() {
			continue
		}
		if owner := pv.Annotations[storagev1alpha1.AnnotationSet]; owner != s.Set.Name &&
			pv.Labels[contract.LabelManagedBy] == spec.Manager {
			return Origin{}, &Problem{storagev1alpha1.ReasonVolumeConflict, fmt.Sprintf(
				"PersistentVolume %s belongs to %s; use the name of that set, or delete the PersistentVolume", pv.Name,
				spec.Owner(owner))}
		}
		if node := nodeOf(s, pv); node != "" {
			return Origin{Node: node, Existed: pv.Annotations[storagev1alpha1.AnnotationVolume] == id}, nil
		}
	}
	var found []string
	existed := false
	for name, agent := range s.Agents {
		if other := foreign(agent, s.Set.Name, v); other != nil {
			return Origin{}, &Problem{storagev1alpha1.ReasonDirectoryConflict, fmt.Sprintf(
				"directory %s on node %s belongs to the volume %s of %s; use another name or path, or "+
					"delete the data with a VolumeWipe", spec.Join(other.BasePath, other.Path), name, other.ID,
				spec.Owner(other.SetName))}
		}
		if d := observed.Requested(agent, id); d != nil && d.SetName == s.Set.Name && d.BasePath == v.BasePath {
			found = append(found, name)
			existed = existed || !d.Create
		}
	}
	if len(found) == 0 {
		for name, agent := range s.Agents {
			if s.Nodes[name] != nil && marked(agent, s.Set.Name, v) {
				found = append(found, name)
				existed = true
			}
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return Origin{}, nil
	case 1:
		return Origin{found[0], existed}, nil
	}
	return Origin{}, &Problem{storagev1alpha1.ReasonDirectoryConflict, fmt.Sprintf(
		"directory %s of claim %s exists on nodes %s; keep one and remove the file .volume-id in the others",
		v.Directory(), v.Claim, strings.Join(found, ", "))}
}

// foreign returns a directory of a node that has the id of a volume and belongs to another set, or that is the
// directory of the volume, contains it or is in it, and belongs to another volume. Its set may have been deleted.
func foreign(agent *storagev1alpha1.LocalVolumeNode, setName string, v spec.Volume) *storagev1alpha1.DirectorySpec {
	for i := range agent.Spec.Directories {
		d := &agent.Spec.Directories[i]
		samePath := d.BasePath == v.BasePath && d.Path == v.Path
		if d.ID == v.ID() && (d.SetName != setName || !samePath) || d.ID != v.ID() && collide(d, v) {
			return d
		}
	}
	return nil
}

// collide reports whether a directory is the directory of a volume, contains it or is in it.
func collide(d *storagev1alpha1.DirectorySpec, v spec.Volume) bool {
	nested := func(a, b string) bool { return spec.Within(a, b) || spec.Within(b, a) }
	switch {
	case d.BasePath == v.BasePath:
		return nested(d.Path, v.Path)
	case !nested(d.BasePath, v.BasePath):
		return false
	}
	return nested(spec.Join(d.BasePath, d.Path), v.Directory())
}

func marked(agent *storagev1alpha1.LocalVolumeNode, setName string, v spec.Volume) bool {
	return slices.ContainsFunc(agent.Status.Found, func(f storagev1alpha1.FoundDirectory) bool {
		return f.BasePath == v.BasePath && f.Path == v.Path && f.Marker.ID == v.ID() && f.Marker.SetName == setName
	})
}

// nodeOf returns the node of a PersistentVolume, by its annotation or its node affinity.
func nodeOf(s *observed.State, pv *corev1.PersistentVolume) string {
	if node := pv.Annotations[storagev1alpha1.AnnotationNode]; node != "" {
		return node
	}
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return ""
	}
	for _, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			for name, node := range s.Nodes {
				if e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 && node.Labels[e.Key] == e.Values[0] {
					return name
				}
			}
		}
	}
	return ""
}

// Renamed returns the node that has the volume now, if the recorded node does not exist and exactly one other node has
// a directory with its marker on the file system that the marker names.
func Renamed(s *observed.State, v spec.Volume) string {
	var found []string
	for name, agent := range s.Agents {
		if s.Nodes[name] == nil {
			continue
		}
		for _, f := range agent.Status.Found {
			if f.BasePath == v.BasePath && f.Path == v.Path && f.Marker.ID == v.ID() &&
				f.Marker.SetName == s.Set.Name && f.Marker.MachineID == agent.Status.MachineID &&
				f.Marker.FileSystem == f.FileSystem {
				found = append(found, name)
			}
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return ""
}
