// Package status builds the status of a set and the events about its changes.
package status

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// problem is one entry of a condition.
type problem struct {
	reason  storagev1alpha1.VolumeReason
	message string
}

// Report collects the problems of a set.
type Report struct {
	s *observed.State

	invalid, placement, capacity, directories, pending, lost, conflicts, mismatches []problem
}

// NewReport returns an empty report.
func NewReport(s *observed.State) *Report { return &Report{s: s} }

// Finding adds a finding about the spec.
func (r *Report) Finding(f spec.Finding) {
	switch f.Reason {
	case storagev1alpha1.ReasonClaimInUse, storagev1alpha1.ReasonPathInUse:
		r.Conflict(f.Reason, f.Message)
	default:
		r.invalid = append(r.invalid, problem{f.Reason, f.Message})
	}
}

// Placement adds why a replica has no node.
func (r *Report) Placement(reason storagev1alpha1.VolumeReason, message string) {
	r.placement = append(r.placement, problem{reason, message})
	if reason == storagev1alpha1.ReasonInsufficientCapacity {
		r.Capacity(reason, message)
	}
}

// Unplaced adds a volume that has no node.
func (r *Report) Unplaced(message string) {
	if len(r.placement) == 0 {
		r.placement = append(r.placement, problem{storagev1alpha1.ReasonInvalidSpec, message})
	}
}

// Capacity adds a lack of space.
func (r *Report) Capacity(reason storagev1alpha1.VolumeReason, message string) {
	r.capacity = append(r.capacity, problem{reason, message})
}

// Directory adds a directory that is not ready.
func (r *Report) Directory(reason storagev1alpha1.VolumeReason, message string) {
	r.directories = append(r.directories, problem{reason, message})
}

// Pending adds a PersistentVolume that is neither available nor bound.
func (r *Report) Pending(message string) {
	r.pending = append(r.pending, problem{storagev1alpha1.ReasonVolumePending, message})
}

// Lost adds a volume whose node does not exist.
func (r *Report) Lost(reason storagev1alpha1.VolumeReason, message string) {
	r.lost = append(r.lost, problem{reason, message})
}

// Conflict adds a directory, claim or PersistentVolume that something else uses.
func (r *Report) Conflict(reason storagev1alpha1.VolumeReason, message string) {
	r.conflicts = append(r.conflicts, problem{reason, message})
}

// Mismatch adds a claim that does not fit its PersistentVolume.
func (r *Report) Mismatch(reason storagev1alpha1.VolumeReason, message string) {
	r.mismatches = append(r.mismatches, problem{reason, message})
}

// Status returns the status with these volumes, and the events about changed conditions.
func (r *Report) Status(
	volumes []storagev1alpha1.LocalVolumeStatus, rebinds int64,
) (storagev1alpha1.KafkaLocalVolumeSetStatus, []event.Event) {
	set := r.s.Set
	status := storagev1alpha1.KafkaLocalVolumeSetStatus{
		ObservedGeneration: set.Generation, Volumes: volumes, Rebinds: rebinds,
	}
	total, ready := 0, 0
	whole := map[int32]bool{}
	for _, v := range volumes {
		if v.Phase == storagev1alpha1.PhaseRetained {
			continue
		}
		total++
		if _, seen := whole[v.Ordinal]; !seen {
			whole[v.Ordinal] = true
		}
		switch v.Phase {
		case storagev1alpha1.PhaseBound:
			status.Bound++
			ready++
		case storagev1alpha1.PhaseAvailable:
			ready++
		default:
			whole[v.Ordinal] = false
		}
	}
	for _, ok := range whole {
		if ok {
			status.Replicas++
		}
	}
	status.Ready = fmt.Sprintf("%d/%d", ready, total)
	want := r.conditions(ready, total)
	status.Conditions = condition.Merge(set.Status.Conditions, want, set.Generation, r.s.Now)
	return status, events(set.Status.Conditions, status.Conditions)
}

func (r *Report) conditions(ready, total int) []metav1.Condition {
	var all []problem
	for _, problems := range [][]problem{
		r.invalid, r.conflicts, r.lost, r.placement, r.capacity, r.directories, r.pending, r.mismatches,
	} {
		all = append(all, problems...)
	}
	readyCondition := good(storagev1alpha1.ConditionReady, all, storagev1alpha1.ReasonVolumesReady,
		fmt.Sprintf("%d of %d volumes are available or bound", ready, total))
	return []metav1.Condition{
		readyCondition,
		good(storagev1alpha1.ConditionPlacementComplete, append(r.invalidSets(), r.placement...),
			storagev1alpha1.ReasonAllPlaced, "every replica has a node"),
		good(storagev1alpha1.ConditionDirectoriesReady, r.directories, storagev1alpha1.ReasonDirectoriesReady,
			"all directories of placed replicas are ready"),
		good(storagev1alpha1.ConditionCapacityOK, r.capacity, storagev1alpha1.ReasonCapacityReserved,
			"the file systems have room for all reserved sizes"),
		bad(storagev1alpha1.ConditionNodeLost, r.lost, storagev1alpha1.ReasonNodesExist, "the nodes of all replicas exist"),
		bad(storagev1alpha1.ConditionConflict, r.conflicts, storagev1alpha1.ReasonNoConflict,
			"nothing else uses the directories, claims and PersistentVolumes"),
		bad(storagev1alpha1.ConditionClaimMismatch, r.mismatches, storagev1alpha1.ReasonClaimsMatch,
			"all claims fit their PersistentVolumes"),
	}
}

// invalidSets are the problems with the spec, if they keep a replica from being placed.
func (r *Report) invalidSets() []problem {
	if len(r.placement) == 0 {
		return nil
	}
	return r.invalid
}

// good returns a condition that is True without problems.
func good(kind string, problems []problem, reason storagev1alpha1.VolumeReason, message string) metav1.Condition {
	if len(problems) == 0 {
		return condition.True(kind, string(reason), message)
	}
	return condition.False(kind, string(problems[0].reason), text(problems))
}

// bad returns a condition that is False without problems.
func bad(kind string, problems []problem, reason storagev1alpha1.VolumeReason, message string) metav1.Condition {
	if len(problems) == 0 {
		return condition.False(kind, string(reason), message)
	}
	return condition.True(kind, string(problems[0].reason), text(problems))
}

// text joins the first problems.
func text(problems []problem) string {
	const most = 3
	var messages []string
	seen := map[string]bool{}
	more := 0
	for _, p := range problems {
		switch {
		case seen[p.message]:
		case len(messages) < most:
			messages = append(messages, p.message)
		default:
			more++
		}
		seen[p.message] = true
	}
	joined := strings.Join(messages, "; ")
	if more > 0 {
		joined += fmt.Sprintf("; and %d more", more)
	}
	return joined
}

// Transient reports whether a set with this reason of the condition Ready becomes ready without an action of a user.
func Transient(reason string) bool {
	return reason == string(storagev1alpha1.ReasonDirectoriesPending) ||
		reason == string(storagev1alpha1.ReasonVolumePending)
}

// needsAction reports whether the condition Ready tells of a problem. The agents of a new set have not reported yet.
func needsAction(ready *metav1.Condition) bool {
	return ready.Status == metav1.ConditionFalse && !Transient(ready.Reason) &&
		ready.Reason != string(storagev1alpha1.ReasonWaitingForAgents)
}

// events returns an event for each condition that needs attention and has changed, and for the end of all problems.
// There is none for volumes that become ready without a problem: other events name what was done for them.
func events(before, after []metav1.Condition) []event.Event {
	var found []event.Event
	for _, c := range after {
		old := meta.FindStatusCondition(before, c.Type)
		if old != nil && old.Status == c.Status && old.Reason == c.Reason {
			continue
		}
		switch c.Type {
		case storagev1alpha1.ConditionNodeLost, storagev1alpha1.ConditionConflict, storagev1alpha1.ConditionClaimMismatch:
			if c.Status == metav1.ConditionTrue {
				found = append(found, event.Warning(c.Reason, "Reconcile", c.Message))
			}
		case storagev1alpha1.ConditionCapacityOK:
			if c.Status == metav1.ConditionFalse {
				found = append(found, event.Warning(c.Reason, "Reconcile", c.Message))
			}
		case storagev1alpha1.ConditionReady:
			if old != nil && needsAction(old) && !needsAction(&c) {
				found = append(found, event.Normal(c.Reason, "Reconcile", c.Message))
			}
		}
	}
	return found
}
