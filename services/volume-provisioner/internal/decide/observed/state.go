// Package observed holds what decisions about a KafkaLocalVolumeSet read.
package observed

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// State is the observed state of a set and of everything that its volumes can collide with.
type State struct {
	Set *storagev1alpha1.KafkaLocalVolumeSet
	// Others are the other sets that can have the same claims or directories.
	Others []*storagev1alpha1.KafkaLocalVolumeSet
	// Reserved are the reservations of the volumes of all sets, also of this one.
	Reserved Reserved
	// Nodes and Agents are by name.
	Nodes  map[string]*corev1.Node
	Agents map[string]*storagev1alpha1.LocalVolumeNode
	// Holders are the agents that can have a volume of the set, or a directory that collides with one of the set's.
	Holders map[string]*storagev1alpha1.LocalVolumeNode
	// VolumesByName has the PersistentVolumes with the names that the set needs, VolumesByClaim those with a claimRef to
	// one of its claims, by the name of the claim.
	VolumesByName  map[string]*corev1.PersistentVolume
	VolumesByClaim map[string][]*corev1.PersistentVolume
	// Claims are the claims of the set that exist, by name.
	Claims map[string]*corev1.PersistentVolumeClaim
	// Pods are the pods that use a claim, by the name of the claim.
	Pods map[string][]*corev1.Pod
	// Wiping has the ids of volumes whose data is being deleted on the request of a VolumeWipe.
	Wiping map[string]bool
	// Chosen is true if the scheduler has chosen the node. It has considered taints, which a pod may tolerate.
	Chosen bool
	// Expandable is true if the StorageClass allows the expansion of volumes.
	Expandable bool
	Settings   spec.Settings
	Now        time.Time
}

// FileSystem returns the file system of a base path on a node, or nil if the agent has not reported it.
func FileSystem(agent *storagev1alpha1.LocalVolumeNode, basePath string) *storagev1alpha1.FileSystemStatus {
	if agent == nil {
		return nil
	}
	for i := range agent.Status.FileSystems {
		if agent.Status.FileSystems[i].BasePath == basePath {
			return &agent.Status.FileSystems[i]
		}
	}
	return nil
}

// Directory returns the directory of a volume on a node, or nil if the agent has not reported it.
func Directory(agent *storagev1alpha1.LocalVolumeNode, id string) *storagev1alpha1.DirectoryStatus {
	if agent == nil {
		return nil
	}
	for i := range agent.Status.Directories {
		if agent.Status.Directories[i].ID == id {
			return &agent.Status.Directories[i]
		}
	}
	return nil
}

// Requested returns the work of the agent for a volume, or nil if it has none.
func Requested(agent *storagev1alpha1.LocalVolumeNode, id string) *storagev1alpha1.DirectorySpec {
	if agent == nil {
		return nil
	}
	for i := range agent.Spec.Directories {
		if agent.Spec.Directories[i].ID == id {
			return &agent.Spec.Directories[i]
		}
	}
	return nil
}

// UserOf returns the name of a pod that has used, or can have used, the claim with the uid; empty if there is none. A
// pending pod that is not older than the claim that replaced it waits for the volume and does not use it.
func UserOf(pods []*corev1.Pod, claim *corev1.PersistentVolumeClaim, uid types.UID) string {
	for _, pod := range pods {
		if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		replaced := claim != nil && claim.UID != uid && !pod.CreationTimestamp.Before(&claim.CreationTimestamp)
		if !replaced {
			return pod.Name
		}
	}
	return ""
}
