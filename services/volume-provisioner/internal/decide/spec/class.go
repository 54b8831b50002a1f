package spec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// Class is a StorageClass for claims that no set describes.
type Class struct {
	Name, BasePath, PathPattern string
}

// pathPattern is the pattern that the CustomResourceDefinition has for spec.pathPattern.
var pathPattern = regexp.MustCompile(`^([a-zA-Z0-9_-]|[{]claim[}]|[{]namespace[}])([a-zA-Z0-9._-]|[{]claim[}]|` +
	`[{]namespace[}])*(/([a-zA-Z0-9_-]|[{]claim[}]|[{]namespace[}])([a-zA-Z0-9._-]|[{]claim[}]|[{]namespace[}])*)*$`)

// ParseClass returns the StorageClass, or an error that names the field, the value and the fix.
func ParseClass(class *storagev1.StorageClass, settings Settings) (Class, error) {
	parsed := Class{Name: class.Name, PathPattern: "{namespace}/{claim}"}
	for _, name := range slices.Sorted(maps.Keys(class.Parameters)) {
		switch value := class.Parameters[name]; name {
		case storagev1alpha1.ParameterBasePath:
			parsed.BasePath = value
		case storagev1alpha1.ParameterPathPattern:
			parsed.PathPattern = value
		default:
			return Class{}, fmt.Errorf("StorageClass %s: parameters.%s is not known; remove it", class.Name, name)
		}
	}
	mode, reclaim := class.VolumeBindingMode, class.ReclaimPolicy
	switch {
	case parsed.BasePath == "":
		return Class{}, fmt.Errorf("StorageClass %s: parameters.basePath is missing; use for example /mnt/data", class.Name)
	case !ValidBasePath(parsed.BasePath):
		return Class{}, fmt.Errorf("StorageClass %s: parameters.basePath %s must be an absolute path other than /, without "+
			". or .. and without a trailing slash; use for example /mnt/data", class.Name, parsed.BasePath)
	case !settings.Allowed(parsed.BasePath):
		return Class{}, fmt.Errorf("StorageClass %s: parameters.basePath %s is not in --allowed-base-paths (%s); use one of "+
			"these, or add it to the flag", class.Name, parsed.BasePath, strings.Join(settings.AllowedBasePaths, ", "))
	case !pathPattern.MatchString(parsed.PathPattern):
		return Class{}, fmt.Errorf("StorageClass %s: parameters.pathPattern %s must be a relative path of letters, digits, "+
			"- _ . and the variables {claim} and {namespace}, and no element may start with a dot", class.Name,
			parsed.PathPattern)
	case !strings.Contains(parsed.PathPattern, "{claim}") || !strings.Contains(parsed.PathPattern, "{namespace}"):
		return Class{}, fmt.Errorf("StorageClass %s: parameters.pathPattern %s must contain {namespace} and {claim}; use "+
			"for example {namespace}/{claim}", class.Name, parsed.PathPattern)
	case mode == nil || *mode != storagev1.VolumeBindingWaitForFirstConsumer:
		return Class{}, fmt.Errorf("StorageClass %s: volumeBindingMode must be WaitForFirstConsumer, so that the scheduler "+
			"chooses the node; create the class again", class.Name)
	case reclaim == nil || *reclaim != corev1.PersistentVolumeReclaimRetain:
		return Class{}, fmt.Errorf("StorageClass %s: reclaimPolicy must be Retain, because data is deleted only by a "+
			"VolumeWipe; create the class again", class.Name)
	}
	return parsed, nil
}

// ClassOf returns the name of the StorageClass of a claim.
func ClassOf(claim *corev1.PersistentVolumeClaim) string {
	if claim.Spec.StorageClassName != nil {
		return *claim.Spec.StorageClassName
	}
	return claim.Annotations[corev1.BetaStorageClassAnnotation]
}

// AnnotationSelectedNode has the node that the scheduler has chosen for the pod of a claim.
const AnnotationSelectedNode = "volume.kubernetes.io/selected-node"

// Owner names a set in messages.
func Owner(setName string) string {
	if setName == "" {
		return "a claim without KafkaLocalVolumeSet"
	}
	return "KafkaLocalVolumeSet " + setName
}

// ClaimSet returns a set with the volume of one claim, on the node that the scheduler has chosen. It has no name, and
// exists only for decisions.
func ClaimSet(claim *corev1.PersistentVolumeClaim, class Class) *storagev1alpha1.KafkaLocalVolumeSet {
	set := &storagev1alpha1.KafkaLocalVolumeSet{}
	set.Namespace, set.CreationTimestamp = claim.Namespace, claim.CreationTimestamp
	nodes := &storagev1alpha1.NodeChoice{}
	if node := claim.Annotations[AnnotationSelectedNode]; node != "" {
		nodes.List = []string{node}
	}
	mode := corev1.PersistentVolumeFilesystem
	if claim.Spec.VolumeMode != nil {
		mode = *claim.Spec.VolumeMode
	}
	set.Spec = storagev1alpha1.KafkaLocalVolumeSetSpec{
		Replicas: 1, BasePath: class.BasePath, PathPattern: class.PathPattern, StorageClassName: class.Name, Nodes: nodes,
		Templates: []storagev1alpha1.VolumeTemplate{{
			Name: "claim", ClaimNamePattern: claim.Name, Size: claim.Spec.Resources.Requests[corev1.ResourceStorage],
			AccessModes: claim.Spec.AccessModes, VolumeMode: mode,
		}},
	}
	return set
}
