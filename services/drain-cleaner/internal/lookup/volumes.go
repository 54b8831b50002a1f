package lookup

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Volumes returns the claims of the pod whose volumes only the pod's node can mount.
func (l *Lookup) Volumes(ctx context.Context, pod *decide.Pod) decide.Input[[]string] {
	var pinned []string
	for _, name := range pod.Claims {
		is, err := l.isPinned(ctx, pod, name)
		if err != nil {
			return decide.Failed[[]string](err)
		}
		if is {
			pinned = append(pinned, name)
		}
	}
	return decide.FromLiveRead(pinned)
}

// isPinned reports whether only the pod's node can mount the volume of a claim. A claim without a volume is not pinned.
func (l *Lookup) isPinned(ctx context.Context, pod *decide.Pod, name string) (bool, error) {
	claims := l.options.Kube.CoreV1().PersistentVolumeClaims(pod.Namespace)
	claim, err := claims.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && claim.Spec.VolumeName == "" {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read PersistentVolumeClaim %s/%s: %w", pod.Namespace, name, err)
	}
	volume, err := l.options.Kube.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	return l.pinsTo(volume, pod.Node)
}

// pinsTo reports whether no other node can mount the volume.
func (l *Lookup) pinsTo(volume *corev1.PersistentVolume, node string) (bool, error) {
	if volume.Labels[contract.LabelLocalVolume] == "true" {
		return true, nil
	}
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return false, nil
	}
	if !l.nodes.HasSynced() {
		return false, errors.New("the cache of nodes is not filled, so it is not known which nodes can mount " +
			"PersistentVolume " + volume.Name + "; grant list and watch on nodes")
	}
	selector, err := nodeaffinity.NewNodeSelector(volume.Spec.NodeAffinity.Required)
	if err != nil {
		return false, fmt.Errorf("read the node affinity of PersistentVolume %s: %w", volume.Name, err)
	}
	for _, object := range l.nodes.GetStore().List() {
		if other, ok := object.(*corev1.Node); ok && other.Name != node && selector.Match(other) {
			return false, nil
		}
	}
	return true, nil
}
