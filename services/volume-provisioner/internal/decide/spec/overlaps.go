package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// Owners tells which set existing volumes belong to, also if it was deleted and created again. A set is named by its
// ID. The functions return an empty string for a volume that does not exist.
type Owners struct {
	// Claim returns the set of the volume of a claim in the namespace of the set that is decided about.
	Claim func(claim string) string
	// Directory returns the set of the volume in a directory.
	Directory func(path string) string
}

// place is a claim or a directory that a set wants.
type place struct {
	set *storagev1alpha1.KafkaLocalVolumeSet
	// placed is true if the volume is recorded in the set's status.
	placed bool
	// name is the claim or the directory, and owner one of the functions of Owners for it.
	name  string
	owner func(name string) string
}

// owned reports whether the volume exists and belongs to the set.
func (p place) owned() bool { return p.owner(p.name) == ID(p.set.Namespace, p.set.Name) }

// overlaps finds claims and directories that another set has too. The first of them in the order of place.before keeps
// them.
func overlaps(
	set *storagev1alpha1.KafkaLocalVolumeSet, others []*storagev1alpha1.KafkaLocalVolumeSet, owners Owners,
) []Finding {
	claims, paths := map[string]place{}, map[string]place{}
	add := func(set *storagev1alpha1.KafkaLocalVolumeSet, claim, path string, placed, sameNamespace, samePaths bool) {
		if sameNamespace {
			keep(claims, place{set, placed, claim, owners.Claim})
		}
		if samePaths {
			keep(paths, place{set, placed, path, owners.Directory})
		}
	}
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
				add(other, v.Claim, v.Path, true, sameNamespace, samePaths)
			}
		}
		for _, v := range Volumes(other) {
			if !recorded[v.Claim] {
				add(other, v.Claim, v.Directory(), false, sameNamespace, samePaths)
			}
		}
	}
	if len(claims) == 0 && len(paths) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, v := range Volumes(set) {
		wanted[v.Directory()] = true
	}
	inside := map[string]string{} // the directory in the key whose set has the first right to it
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for parent := up(path); parent != ""; parent = up(parent) {
			if !wanted[parent] {
				continue
			}
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
		mine := place{set, own[v.Claim], v.Claim, owners.Claim}
		if other, taken := claims[v.Claim]; taken && !mine.before(other) {
			found = append(found, Finding{storagev1alpha1.ReasonClaimInUse, fmt.Sprintf(
				"spec.templates[%s].claimNamePattern yields claim %s, which KafkaLocalVolumeSet %s has too; use another pattern",
				v.Template.Name, v.Claim, other.set.Name), v.Claim})
			continue
		}
		mine.name, mine.owner = v.Directory(), owners.Directory
		if other, at, taken := collision(paths, inside, v.Directory(), mine); taken {
			found = append(found, Finding{storagev1alpha1.ReasonPathInUse, fmt.Sprintf(
				"directory %s of claim %s collides with %s of KafkaLocalVolumeSet %s/%s; use spec.pathPattern "+
					"{namespace}/{claim} or another spec.basePath", v.Directory(), v.Claim, at, other.set.Namespace,
				other.set.Name), v.Claim})
		}
	}
	return found
}

// keep records what a set wants. If several sets want it, the first is recorded.
func keep(places map[string]place, p place) {
	if known, ok := places[p.name]; !ok || p.before(known) {
		places[p.name] = p
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
// set that the existing volume belongs to, else the older set.
func (p place) before(q place) bool {
	if p.placed != q.placed {
		return p.placed
	}
	if mine := p.owned(); mine != q.owned() {
		return mine
	}
	mine, theirs := p.set.CreationTimestamp, q.set.CreationTimestamp
	if !mine.Equal(&theirs) {
		return mine.Before(&theirs)
	}
	return ID(p.set.Namespace, p.set.Name) < ID(q.set.Namespace, q.set.Name)
}
