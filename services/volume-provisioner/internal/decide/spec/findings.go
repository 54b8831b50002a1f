package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// Finding is a problem with the spec. Message names the field, the value and the fix.
type Finding struct {
	Reason  storagev1alpha1.VolumeReason
	Message string
	// Claim is the claim that the finding is about; empty if it is about the whole set.
	Claim string
}

// MaxVolumes keeps the status of a set below the size limit of an object.
const MaxVolumes = 2000

// Findings returns what is wrong with the spec beyond what the CustomResourceDefinition rejects, by severity.
func Findings(
	set *storagev1alpha1.KafkaLocalVolumeSet, others []*storagev1alpha1.KafkaLocalVolumeSet, settings Settings,
) []Finding {
	var found []Finding
	report := func(claim string, reason storagev1alpha1.VolumeReason, format string, args ...any) {
		found = append(found, Finding{reason, fmt.Sprintf(format, args...), claim})
	}
	s := set.Spec
	if !settings.Allowed(s.BasePath) {
		report("", storagev1alpha1.ReasonBasePathNotAllowed,
			"spec.basePath %s is not in --allowed-base-paths (%s); use one of these, or ask the administrator to add it",
			s.BasePath, strings.Join(settings.AllowedBasePaths, ", "))
	}
	if n := s.Nodes; n != nil && len(n.PerReplica) > 0 && len(n.PerReplica) < int(s.Replicas) {
		report("", storagev1alpha1.ReasonInvalidSpec,
			"spec.nodes.perReplica has %d nodes for spec.replicas %d; add %d nodes", len(n.PerReplica), s.Replicas,
			int(s.Replicas)-len(n.PerReplica))
	}
	if n := s.Nodes; n != nil && n.Selector != nil {
		if _, err := metav1.LabelSelectorAsSelector(n.Selector); err != nil {
			report("", storagev1alpha1.ReasonInvalidSpec, "spec.nodes.selector is invalid: %v; correct it", err)
		}
	}
	for _, t := range s.Templates {
		if t.Size.Sign() <= 0 {
			report("", storagev1alpha1.ReasonInvalidSpec,
				"spec.templates[%s].size %s must be greater than 0; use for example 5Gi", t.Name, t.Size.String())
		}
	}
	if n := int(s.Replicas) * len(s.Templates); n > MaxVolumes {
		report("", storagev1alpha1.ReasonInvalidSpec,
			"spec.replicas %d with %d templates are %d volumes, and a set has at most %d; split it into several sets",
			s.Replicas, len(s.Templates), n, MaxVolumes)
		return found
	}
	recorded := map[string]int64{}
	for _, v := range set.Status.Volumes {
		recorded[v.Claim] = v.Bytes
	}
	byClaim := map[string]string{}
	for _, v := range Volumes(set) {
		if other, twice := byClaim[v.Claim]; twice {
			report(v.Claim, storagev1alpha1.ReasonClaimInUse,
				"spec.templates[%s].claimNamePattern yields claim %s, which template %s yields too; use another pattern",
				v.Template.Name, v.Claim, other)
			continue
		}
		byClaim[v.Claim] = v.Template.Name
		if problems := validation.IsDNS1123Subdomain(v.Claim); len(problems) > 0 {
			report(v.Claim, storagev1alpha1.ReasonInvalidSpec,
				"spec.templates[%s].claimNamePattern yields claim %q: %s; use a shorter or a valid name",
				v.Template.Name, v.Claim, strings.Join(problems, ", "))
		}
		for _, element := range strings.Split(v.Path, "/") {
			if len(element) > 255 {
				report(v.Claim, storagev1alpha1.ReasonInvalidSpec, "spec.pathPattern %s yields a name of %d characters for "+
					"claim %s; file names have at most 255: use a shorter pattern", s.PathPattern, len(element), v.Claim)
			}
		}
		if before := recorded[v.Claim]; v.Template.Size.Sign() > 0 && v.Bytes() < before {
			report(v.Claim, storagev1alpha1.ReasonInvalidSpec,
				"spec.templates[%s].size %s is smaller than the size %s of claim %s; volumes cannot shrink: use at least %s",
				v.Template.Name, v.Template.Size.String(), text(before), v.Claim, text(before))
		}
	}
	return append(found, overlaps(set, others)...)
}

func text(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }

// place is a claim or a directory of another set.
type place struct {
	set *storagev1alpha1.KafkaLocalVolumeSet
	// placed is true if the volume is recorded in the other set's status.
	placed bool
}

// overlaps finds claims and directories that another set has too. The set that has placed the volume keeps it, else the
// older set.
func overlaps(set *storagev1alpha1.KafkaLocalVolumeSet, others []*storagev1alpha1.KafkaLocalVolumeSet) []Finding {
	claims, paths := map[string]place{}, map[string]place{}
	for _, other := range others {
		sameNamespace := other.Namespace == set.Namespace
		samePaths := Within(other.Spec.BasePath, set.Spec.BasePath) || Within(set.Spec.BasePath, other.Spec.BasePath)
		if !sameNamespace && !samePaths {
			continue
		}
		recorded := map[string]bool{}
		for _, v := range other.Status.Volumes {
			if v.Node != "" {
				recorded[v.Claim] = true
				add(claims, paths, sameNamespace, samePaths, v.Claim, v.Path, place{other, true})
			}
		}
		for _, v := range Volumes(other) {
			if !recorded[v.Claim] {
				add(claims, paths, sameNamespace, samePaths, v.Claim, v.Directory(), place{other, false})
			}
		}
	}
	if len(claims) == 0 && len(paths) == 0 {
		return nil
	}
	inside := map[string]string{} // the directory in the key whose set has the first right to it
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for parent := up(path); parent != ""; parent = up(parent) {
			if known, ok := inside[parent]; !ok || paths[path].before(paths[known]) {
				inside[parent] = path
			}
		}
	}
	own := map[string]bool{}
	for _, v := range set.Status.Volumes {
		own[v.Claim] = v.Node != ""
	}
	var found []Finding
	for _, v := range Volumes(set) {
		mine := place{set, own[v.Claim]}
		if other, taken := claims[v.Claim]; taken && !mine.before(other) {
			found = append(found, Finding{storagev1alpha1.ReasonClaimInUse, fmt.Sprintf(
				"spec.templates[%s].claimNamePattern yields claim %s, which KafkaLocalVolumeSet %s has too; use another pattern",
				v.Template.Name, v.Claim, other.set.Name), v.Claim})
			continue
		}
		if other, at, taken := collision(paths, inside, v.Directory(), mine); taken {
			found = append(found, Finding{storagev1alpha1.ReasonPathInUse, fmt.Sprintf(
				"directory %s of claim %s collides with %s of KafkaLocalVolumeSet %s/%s; use spec.pathPattern "+
					"{namespace}/{claim} or another spec.basePath", v.Directory(), v.Claim, at, other.set.Namespace,
				other.set.Name), v.Claim})
		}
	}
	return found
}

// add records a claim and a directory. If several sets want one, the set that keeps it is recorded.
func add(claims, paths map[string]place, sameNamespace, samePaths bool, claim, path string, p place) {
	if known, ok := claims[claim]; sameNamespace && (!ok || p.before(known)) {
		claims[claim] = p
	}
	if known, ok := paths[path]; samePaths && (!ok || p.before(known)) {
		paths[path] = p
	}
}

// up returns the directory that contains path, empty for a directory in the root.
func up(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// collision returns a directory in paths that is the directory, contains it or is in it, and that another set keeps.
func collision(
	paths map[string]place, inside map[string]string, directory string, mine place,
) (place, string, bool) {
	for path := directory; path != ""; path = up(path) {
		if p, taken := paths[path]; taken && !mine.before(p) {
			return p, path, true
		}
	}
	path, taken := inside[directory]
	return paths[path], path, taken && !mine.before(paths[path])
}

// before reports whether p keeps a claim or directory that q wants too: the set that has placed the volume, else the
// older set.
func (p place) before(q place) bool {
	if p.placed != q.placed {
		return p.placed
	}
	mine, theirs := p.set.CreationTimestamp, q.set.CreationTimestamp
	if !mine.Equal(&theirs) {
		return mine.Before(&theirs)
	}
	return ID(p.set.Namespace, p.set.Name) < ID(q.set.Namespace, q.set.Name)
}
