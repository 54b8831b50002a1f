package decide

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// replace gives a replica whose node is lost empty volumes on another node, if spec.nodeLoss asks for it. The other
// replicas have the data, so it moves one replica at a time, and only while the volumes of all others are bound. A
// volume whose claim is bound stays: claims are deleted by users only.
func (d *decision) replace(replica []spec.Volume) {
	loss := d.s.Set.Spec.NodeLoss
	if loss == nil || loss.Policy != storagev1alpha1.NodeLossReplace || loss.After == nil || d.invalid {
		return
	}
	var moved []spec.Volume
	bytes := int64(0)
	for _, v := range replica {
		entry := d.byClaim[v.Claim]
		if entry.Node == "" || d.s.Nodes[entry.Node] != nil {
			continue
		}
		moved = append(moved, v)
		bytes += entry.Bytes
	}
	if len(moved) == 0 {
		return
	}
	wait := func(format string, args ...any) {
		for _, v := range moved {
			entry := d.byClaim[v.Claim]
			entry.Message = fmt.Sprintf(format, args...)
			d.byClaim[v.Claim] = entry
		}
	}
	if remaining := d.remaining(loss.After.Duration); remaining > 0 {
		if d.plan.RequeueAfter == 0 || remaining < d.plan.RequeueAfter {
			d.plan.RequeueAfter = remaining
		}
		wait("spec.nodeLoss: the replica moves to another node when its node has been gone for %s", loss.After.Duration)
		return
	}
	ordinal := replica[0].Ordinal
	for _, other := range spec.Volumes(d.s.Set) {
		if pv := volumes.Find(d.s, other); other.Ordinal != ordinal && (pv == nil || pv.Status.Phase != corev1.VolumeBound) {
			wait("spec.nodeLoss: the replica moves when all other replicas are bound; claim %s is not", other.Claim)
			return
		}
		if node := d.byClaim[other.Claim].Node; other.Ordinal != ordinal && d.s.Nodes[node] == nil {
			wait("spec.nodeLoss: the replica moves when the nodes of all other replicas exist; claim %s is on node %s",
				other.Claim, node)
			return
		}
	}
	for _, v := range moved {
		if pv := volumes.Find(d.s, v); pv != nil && pv.Status.Phase == corev1.VolumeBound {
			wait("spec.nodeLoss: delete the pod and claim %s; the replica then gets empty volumes on another node", v.Claim)
			return
		}
	}
	node, problem := d.placer.Place(ordinal, bytes)
	if problem != nil {
		d.report.Placement(problem.Reason, problem.Message)
		return
	}
	for _, v := range moved {
		entry := d.byClaim[v.Claim]
		entry.Previous = append(entry.Previous, storagev1alpha1.PreviousLocation{
			Node: entry.Node, Path: entry.Path, Replaced: metav1.NewTime(d.s.Now.Truncate(time.Second)),
		})
		entry.Marker = ""
		d.assign(v, &entry, node)
		d.byClaim[v.Claim] = entry
	}
}

// remaining returns the time until a node has been lost for the duration. The condition NodeLost has the start.
func (d *decision) remaining(after time.Duration) time.Duration {
	c := meta.FindStatusCondition(d.s.Set.Status.Conditions, storagev1alpha1.ConditionNodeLost)
	if c == nil || c.Status != metav1.ConditionTrue {
		return after
	}
	return after - d.s.Now.Sub(c.LastTransitionTime.Time)
}
