// Package spec reads the spec of a KafkaLocalVolumeSet: the volumes that it describes, and what is wrong with it.
package spec

import (
	"path"
	"regexp"
	"strconv"
	"strings"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// Manager is the name of the service: field manager, value of the label app.kubernetes.io/managed-by, event source.
const Manager = "volume-provisioner"

// Settings are the flags that decisions depend on.
type Settings struct {
	// AllowedBasePaths are the directories that spec.basePath may be, or be in.
	AllowedBasePaths []string
}

// Volume is one volume that a set describes.
type Volume struct {
	// Namespace and Claim name the PersistentVolumeClaim.
	Namespace, Claim string
	// Ordinal of the replica.
	Ordinal int32
	// Template describes the volume.
	Template *storagev1alpha1.VolumeTemplate
	// BasePath and Path are the directory; Path is relative to BasePath.
	BasePath, Path string
}

// ID identifies the volume on the nodes. The marker file of its directory has it.
func (v Volume) ID() string { return ID(v.Namespace, v.Claim) }

// Directory is the absolute path on the node.
func (v Volume) Directory() string { return Join(v.BasePath, v.Path) }

// Join returns the absolute path of a directory below a base path.
func Join(basePath, relative string) string { return path.Join(basePath, relative) }

// Bytes is the size.
func (v Volume) Bytes() int64 { return v.Template.Size.Value() }

// ID returns the id of the volume of a claim.
func ID(namespace, claim string) string { return namespace + "/" + claim }

// Split returns the namespace and the claim of the id of a volume.
func Split(id string) (namespace, claim string) {
	namespace, claim, _ = strings.Cut(id, "/")
	return namespace, claim
}

// Volumes returns the volumes of all replicas, by ordinal and then in the order of the templates.
func Volumes(set *storagev1alpha1.KafkaLocalVolumeSet) []Volume {
	volumes := make([]Volume, 0, int(set.Spec.Replicas)*len(set.Spec.Templates))
	for ordinal := range set.Spec.Replicas {
		for i := range set.Spec.Templates {
			volumes = append(volumes, volume(set, &set.Spec.Templates[i], ordinal))
		}
	}
	return volumes
}

func volume(set *storagev1alpha1.KafkaLocalVolumeSet, t *storagev1alpha1.VolumeTemplate, ordinal int32) Volume {
	claim := strings.ReplaceAll(t.ClaimNamePattern, "{ordinal}", strconv.Itoa(int(ordinal)))
	return Volume{
		Namespace: set.Namespace, Claim: claim, Ordinal: ordinal, Template: t,
		BasePath: set.Spec.BasePath, Path: RelativePath(set.Spec.PathPattern, set.Namespace, claim),
	}
}

// RelativePath returns the directory of a claim below the base path. An empty pattern is {claim}.
func RelativePath(pattern, namespace, claim string) string {
	if pattern == "" {
		pattern = "{claim}"
	}
	// A namespace has no braces.
	return strings.ReplaceAll(strings.ReplaceAll(pattern, "{namespace}", namespace), "{claim}", claim)
}

var basePath = regexp.MustCompile(`^(/[^/]+)+$`)

// ValidBasePath reports whether a path can be a base path: absolute, clean and not the root.
func ValidBasePath(p string) bool { return basePath.MatchString(p) && path.Clean(p) == p }

// Within reports whether p is the directory dir or in it.
func Within(p, dir string) bool {
	rest, found := strings.CutPrefix(p, dir)
	return found && (rest == "" || rest[0] == '/')
}

// Allowed reports whether one of the allowed base paths is p or contains it.
func (s Settings) Allowed(p string) bool {
	for _, allowed := range s.AllowedBasePaths {
		if Within(p, allowed) {
			return true
		}
	}
	return false
}
