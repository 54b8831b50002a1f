package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/placement"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/status"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// decision is the state of one decision.
type decision struct {
	s       *observed.State
	plan    Plan
	report  *status.Report
	placer  *placement.Placer
	byClaim map[string]storagev1alpha1.LocalVolumeStatus
	blocked map[string]spec.Finding // by claim
	invalid bool
}

// Set decides about one set.
func Set(s *observed.State) Plan {
	d := &decision{
		s: s, report: status.NewReport(s), placer: placement.New(s),
		byClaim: map[string]storagev1alpha1.LocalVolumeStatus{}, blocked: map[string]spec.Finding{},
	}
	for _, v := range s.Set.Status.Volumes {
		d.byClaim[v.Claim] = v
	}
	for _, f := range spec.Findings(s.Set, s.Others, s.Settings, volumes.Owners(s)) {
		d.report.Finding(f)
		if f.Claim == "" {
			d.invalid = true
		} else if _, known := d.blocked[f.Claim]; !known {
			d.blocked[f.Claim] = f
		}
	}
	var wanted []spec.Volume
	seen := map[string]bool{}
	all := spec.Volumes(s.Set)
	for _, v := range all {
		if len(all) > spec.MaxVolumes && d.byClaim[v.Claim].Node == "" {
			continue
		}
		if !seen[v.Claim] {
			seen[v.Claim] = true
			wanted = append(wanted, v)
		}
	}
	d.place(wanted)
	var recorded []storagev1alpha1.LocalVolumeStatus
	rebinds := int64(0)
	for _, v := range wanted {
		entry := d.byClaim[v.Claim]
		d.evaluate(v, &entry)
		recorded = append(recorded, entry)
		if pv := volumes.Find(s, v); pv != nil {
			rebinds += volumes.Rebinds(pv)
		}
	}
	d.checkFileSystems(wanted)
	for _, entry := range s.Set.Status.Volumes {
		if !seen[entry.Claim] && entry.Node != "" {
			entry.Phase = storagev1alpha1.PhaseRetained
			entry.Message = "the replica is not part of the set; the data is kept and used again after a scale-up"
			if s.Wiping[spec.ID(s.Set.Namespace, entry.Claim)] {
				entry.Marker, entry.Message = "", "the replica is not part of the set; a VolumeWipe deletes the data"
			}
			recorded = append(recorded, entry)
		}
	}
	d.plan.Status, d.plan.Events = d.report.Status(recorded, max(rebinds, s.Set.Status.Rebinds))
	if d.plan.Reserves {
		// The placement is recorded before anything depends on it.
		return Plan{Status: d.plan.Status, Events: d.plan.Events, Reserves: true}
	}
	return d.plan
}

// place finds or chooses the node of each volume and reserves its size.
func (d *decision) place(wanted []spec.Volume) {
	for start := 0; start < len(wanted); {
		end := start
		for end < len(wanted) && wanted[end].Ordinal == wanted[start].Ordinal {
			end++
		}
		d.placeReplica(wanted[start:end])
		start = end
	}
}

func (d *decision) placeReplica(replica []spec.Volume) {
	var unplaced []spec.Volume
	bytes, node := int64(0), ""
	for _, v := range replica {
		entry, known := d.byClaim[v.Claim]
		if !known {
			entry = storagev1alpha1.LocalVolumeStatus{Claim: v.Claim}
		}
		entry.Ordinal, entry.Template, entry.Path = v.Ordinal, v.Template.Name, v.Directory()
		entry.Message = ""
		if entry.Node == "" {
			d.recover(v, &entry)
		} else if d.s.Nodes[entry.Node] == nil {
			if renamed := placement.Renamed(d.s, v); renamed != "" {
				entry.Node, entry.NodeUID, d.plan.Reserves = renamed, d.s.Nodes[renamed].UID, true
			}
		}
		switch {
		case entry.Node != "":
			node = entry.Node
			d.grow(v, &entry)
		case entry.Phase != storagev1alpha1.PhaseConflict && !d.invalid:
			unplaced = append(unplaced, v)
			bytes += v.Bytes()
		}
		d.byClaim[v.Claim] = entry
	}
	d.replace(replica)
	if len(unplaced) == 0 {
		return
	}
	node, problem := d.choose(replica[0].Ordinal, node, bytes)
	if problem != nil {
		d.report.Placement(problem.Reason, problem.Message)
	}
	for _, v := range unplaced {
		entry := d.byClaim[v.Claim]
		if problem != nil {
			entry.Phase, entry.Message = storagev1alpha1.PhaseUnplaced, problem.Message
		} else {
			d.assign(v, &entry, node)
		}
		d.byClaim[v.Claim] = entry
	}
}

// recover gives a volume that the status does not know the node that already has it.
func (d *decision) recover(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus) {
	entry.Phase = storagev1alpha1.PhaseUnplaced
	if f, blocked := d.blocked[v.Claim]; blocked {
		entry.Phase, entry.Message = storagev1alpha1.PhaseConflict, f.Message
		return
	}
	if d.invalid {
		entry.Message = "the spec is invalid; see the condition Ready"
		return
	}
	origin, problem := placement.Find(d.s, v)
	switch {
	case problem != nil:
		entry.Phase, entry.Message = storagev1alpha1.PhaseConflict, problem.Message
		d.report.Conflict(problem.Reason, problem.Message)
	case origin.Node != "":
		d.assign(v, entry, origin.Node)
		if origin.Existed {
			entry.Marker = v.ID()
		}
		d.placer.Assign(origin.Node, v.Bytes())
	}
}

// choose returns the node of the replica's other volumes if there is one, else a new one.
func (d *decision) choose(ordinal int32, node string, bytes int64) (string, *placement.Problem) {
	if node == "" {
		return d.placer.Place(ordinal, bytes)
	}
	if room := d.placer.Room(node); room < bytes {
		return "", &placement.Problem{Reason: storagev1alpha1.ReasonInsufficientCapacity, Message: fmt.Sprintf(
			"replica %d is on node %s, which has no room for %d more bytes", ordinal, node, bytes-max(room, 0))}
	}
	d.placer.Reserve(node, bytes)
	return node, nil
}

func (d *decision) assign(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus, node string) {
	entry.Node, entry.Bytes, entry.Phase = node, v.Bytes(), storagev1alpha1.PhasePreparing
	if n := d.s.Nodes[node]; n != nil {
		entry.NodeUID = n.UID
	}
	d.plan.Reserves = true
}

// grow reserves the larger size of a volume that is placed.
func (d *decision) grow(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus) {
	more := v.Bytes() - entry.Bytes
	if more <= 0 || d.s.Nodes[entry.Node] == nil {
		return
	}
	if room := d.placer.Room(entry.Node); room < more {
		d.report.Capacity(storagev1alpha1.ReasonInsufficientCapacity, fmt.Sprintf("claim %s cannot grow to %s "+
			"(spec.templates[%s].size): node %s has room for %d bytes more; free space or keep the size", v.Claim,
			v.Template.Size.String(), v.Template.Name, entry.Node, max(room, 0)))
		return
	}
	entry.Bytes = v.Bytes()
	d.placer.Reserve(entry.Node, more)
	d.plan.Reserves = true
}

// update plans the changes that make a PersistentVolume equal to want.
func (d *decision) update(v spec.Volume, live, want *corev1.PersistentVolume) {
	merged, changed := volumes.Merge(live, want)
	if len(changed) == 0 {
		d.expand(v, live)
		return
	}
	e := event.Normal(storagev1alpha1.EventVolumeRestored, "Update",
		fmt.Sprintf("PersistentVolume %s was changed by another client; restored %v", live.Name, changed))
	has, needs := live.Spec.Capacity[corev1.ResourceStorage], want.Spec.Capacity[corev1.ResourceStorage]
	switch {
	case !volumes.Managed(live):
		e = event.Normal(storagev1alpha1.EventVolumeAdopted, "Adopt",
			fmt.Sprintf("PersistentVolume %s exists and matches the set; it is managed now", live.Name))
	case len(changed) == 1 && has.Cmp(needs) < 0:
		e = event.Normal(storagev1alpha1.EventVolumeExpanded, "Expand",
			fmt.Sprintf("PersistentVolume %s grows from %s to %s", live.Name, has.String(), needs.String()))
	}
	d.plan.Update = append(d.plan.Update, Update{Live: live, Want: merged, Event: e})
}

// expand completes the expansion of a bound claim. The kubelet has nothing to do for a directory.
func (d *decision) expand(v spec.Volume, pv *corev1.PersistentVolume) {
	claim := d.s.Claims[v.Claim]
	if claim == nil || !d.s.Expandable || claim.Spec.VolumeName != pv.Name ||
		claim.Status.Phase != corev1.ClaimBound || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != claim.UID {
		return
	}
	asks := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	now, has := claim.Status.Capacity[corev1.ResourceStorage], pv.Spec.Capacity[corev1.ResourceStorage]
	if now.Cmp(asks) < 0 && asks.Cmp(has) <= 0 {
		d.plan.Expand = append(d.plan.Expand, Expansion{Claim: claim, Capacity: has})
	}
}
