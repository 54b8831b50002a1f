package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/status"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// ClaimState is what the volume of a claim that no set describes depends on. Set has the volume of this claim only, and
// its status is not stored: the LocalVolumeNode of a node records that the volume is there.
type ClaimState struct {
	*observed.State
	Claim *corev1.PersistentVolumeClaim
}

// ClaimPlan is what is written for a claim. If Plan.Reserves is true, the directory is added to the LocalVolumeNode of
// the node in the status before anything else.
type ClaimPlan struct {
	Plan
	// Reschedule is why the chosen node cannot have the volume; empty if it can. The scheduler chooses again.
	Reschedule string
	// Problem is why the claim has no volume, or why its volume cannot be used.
	Problem string
}

// Node returns the node of the volume.
func (p ClaimPlan) Node() string {
	if len(p.Status.Volumes) == 0 {
		return ""
	}
	return p.Status.Volumes[0].Node
}

// Claim decides about the volume of a claim. A volume that exists stays where it is, whatever node the scheduler chose:
// the scheduler follows the node affinity of the PersistentVolume.
func Claim(s *ClaimState) ClaimPlan {
	if problem := unsupported(s.Claim); problem != "" {
		return ClaimPlan{Problem: problem}
	}
	v := spec.Volumes(s.Set)[0]
	template := &s.Set.Spec.Templates[0]
	s.Set.Status.Volumes = nil
	if node, d := recorded(s, v); d != nil {
		// The reservation stays when a claim is created again with a smaller size.
		if d.Bytes > template.Size.Value() {
			template.Size = *resource.NewQuantity(d.Bytes, resource.BinarySI)
		}
		entry := storagev1alpha1.LocalVolumeStatus{
			Claim: v.Claim, Template: template.Name, Node: node, Path: v.Directory(), Bytes: d.Bytes,
		}
		if !d.Create {
			entry.Marker = v.ID()
		}
		s.Set.Status.Volumes = []storagev1alpha1.LocalVolumeStatus{entry}
	} else if node := unreported(s, v.BasePath); node != "" && volumes.Find(s.State, v) == nil {
		return ClaimPlan{Problem: fmt.Sprintf("the agent of node %s has not reported %s yet, and may have the directory; "+
			"start it, or delete the LocalVolumeNode if the node has no data", node, v.BasePath)}
	}
	plan := ClaimPlan{Plan: Set(s.State)}
	ready := meta.FindStatusCondition(plan.Status.Conditions, storagev1alpha1.ConditionReady)
	chosen := s.Claim.Annotations[spec.AnnotationSelectedNode]
	entry := plan.Status.Volumes[0]
	switch {
	case entry.Node == "" && entry.Phase == storagev1alpha1.PhaseConflict:
		plan.Problem = entry.Message
	case entry.Node == "" && chosen == "":
		// The scheduler has not chosen a node yet.
	case entry.Node == "" && s.Agents[chosen] == nil:
		plan.Reschedule = fmt.Sprintf("node %s does not run the agent of volume-provisioner", chosen)
	case entry.Node == "":
		plan.Reschedule = fmt.Sprintf("node %s cannot have the volume: %s", chosen, entry.Message)
	case ready != nil && ready.Status == metav1.ConditionFalse && !status.Transient(ready.Reason):
		plan.Problem = ready.Message
	}
	return plan
}

// unsupported returns why no volume can be made for a claim.
func unsupported(claim *corev1.PersistentVolumeClaim) string {
	switch {
	case claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode != corev1.PersistentVolumeFilesystem:
		return fmt.Sprintf("spec.volumeMode %s is not supported; use Filesystem", *claim.Spec.VolumeMode)
	case claim.Spec.Selector != nil:
		return "spec.selector is not supported for a class with a provisioner; remove it"
	case claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil:
		return "spec.dataSource is not supported; create an empty volume and copy the data"
	}
	return ""
}

// recorded returns the node whose LocalVolumeNode has the volume. If a node was renamed, there are two.
func recorded(s *ClaimState, v spec.Volume) (string, *storagev1alpha1.DirectorySpec) {
	var names []string
	for name, agent := range s.Holders {
		d := observed.Requested(agent, v.ID())
		if d != nil && d.SetName == "" && d.BasePath == v.BasePath && d.Path == v.Path {
			names = append(names, name)
		}
	}
	current := ""
	if pv := volumes.Find(s.State, v); pv != nil {
		current = pv.Annotations[storagev1alpha1.AnnotationNode]
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(order(s.Nodes[a] != nil, s.Nodes[b] != nil), order(a == current, b == current), strings.Compare(a, b))
	})
	if len(names) == 0 {
		return "", nil
	}
	return names[0], observed.Requested(s.Agents[names[0]], v.ID())
}

// order sorts true before false.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// unreported returns a node whose agent has not reported the base path, and may have a directory of a volume.
func unreported(s *ClaimState, basePath string) string {
	var names []string
	for name, agent := range s.Agents {
		if s.Nodes[name] != nil && observed.FileSystem(agent, basePath) == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}
