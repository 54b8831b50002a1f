package decidetest

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Class is the StorageClass of claims that no set describes.
var Class = spec.Class{Name: "weir-local", BasePath: "/mnt/data", PathPattern: "{namespace}/{claim}"}

// ClassClaim creates a claim of Class, and chooses a node for it.
func (w *World) ClassClaim(namespace, name, size, node string) *corev1.PersistentVolumeClaim {
	claim := w.Claim(namespace, name, size)
	claim.Spec.StorageClassName = new(Class.Name)
	claim.Annotations = map[string]string{}
	if node != "" {
		claim.Annotations[spec.AnnotationSelectedNode] = node
	}
	return claim
}

// stepClaims decides about the claims of Class.
func (w *World) stepClaims(t testing.TB) (changed bool) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(w.Claims)) {
		claim := w.Claims[id]
		if spec.ClassOf(claim) != Class.Name {
			continue
		}
		s := w.Observe(spec.ClaimSet(claim, Class))
		s.Chosen = true
		state := &decide.ClaimState{State: s, Claim: claim}
		plan := decide.Claim(state)
		w.Problems[id] = plan.Problem + plan.Reschedule
		if plan.Reserves {
			agent := w.Agents[plan.Node()].DeepCopy()
			placed := state.Set.DeepCopy()
			placed.Status = plan.Status
			agent.Spec = decide.Node(w.nodeState(agent, append(w.allSets(), placed)))
			w.Agents[agent.Name] = agent
			changed = true
			continue
		}
		if plan.Reschedule != "" {
			delete(claim.Annotations, spec.AnnotationSelectedNode)
			changed = true
		}
		changed = changed || len(plan.Create)+len(plan.Update)+len(plan.Release)+len(plan.Delete)+len(plan.Expand) > 0
		w.apply(t, plan.Plan)
	}
	return changed
}

func (w *World) allSets() []*storagev1alpha1.KafkaLocalVolumeSet {
	var sets []*storagev1alpha1.KafkaLocalVolumeSet
	for _, key := range slices.Sorted(maps.Keys(w.Sets)) {
		sets = append(sets, w.Sets[key])
	}
	return sets
}
