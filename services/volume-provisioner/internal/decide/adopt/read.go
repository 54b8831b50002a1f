package adopt

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// group is what all volumes of a set have in common.
type group struct {
	namespace, class, basePath, pathPattern, key string
	// options are the mount options, joined.
	options string
}

// entry is what a set has to express of one PersistentVolume.
type entry struct {
	group
	pv, claim, pattern, path, node string
	ordinal                        int
	size                           resource.Quantity
	modes                          []corev1.PersistentVolumeAccessMode
	mountOptions                   []string
	notes                          []string
}

var (
	ordinalAtEnd = regexp.MustCompile(`^(.*-)(0|[1-9][0-9]{0,3})$`)
	// generated is the part of a path that is different for each volume.
	generated = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	element   = regexp.MustCompile(`^([a-zA-Z0-9_-]|[{]claim[}])([a-zA-Z0-9._-]|[{]claim[}])*$`)
)

// read reads a PersistentVolume. The error names each field that a set cannot express.
func read(pv *corev1.PersistentVolume) (entry, error) {
	e := entry{pv: pv.Name, size: pv.Spec.Capacity[corev1.ResourceStorage], mountOptions: pv.Spec.MountOptions}
	e.class, e.options, e.modes = pv.Spec.StorageClassName, strings.Join(pv.Spec.MountOptions, ","), pv.Spec.AccessModes
	var problems []error
	refuse := func(field, format string, arguments ...any) {
		problems = append(problems, fmt.Errorf("PersistentVolume %s: %s %s", pv.Name, field,
			fmt.Sprintf(format, arguments...)))
	}
	if e.size.Sign() <= 0 {
		refuse("spec.capacity.storage", "%s must be greater than 0", e.size.String())
	}
	if e.class == "" {
		refuse("spec.storageClassName", "is empty; a set needs a class: set it, for example, to local-storage")
	}
	if len(e.modes) == 0 {
		refuse("spec.accessModes", "is empty; add ReadWriteOnce")
	}
	if mode := pv.Spec.VolumeMode; mode != nil && *mode != corev1.PersistentVolumeFilesystem {
		refuse("spec.volumeMode", "is %s; a set has directories only: leave this volume out", *mode)
	}
	if name := pv.Spec.VolumeAttributesClassName; name != nil {
		refuse("spec.volumeAttributesClassName", "is %s; local volumes have none: remove it", *name)
	}
	e.readPath(pv, refuse)
	e.readClaim(pv, refuse)
	e.readAffinity(pv, refuse)
	if e.path != "" && e.claim != "" {
		e.splitPath(refuse)
	}
	e.note(pv)
	return e, errors.Join(problems...)
}

type refuse func(field, format string, arguments ...any)

func (e *entry) readPath(pv *corev1.PersistentVolume, refuse refuse) {
	switch source := pv.Spec.PersistentVolumeSource; {
	case source.Local != nil:
		e.path = source.Local.Path
		if fsType := source.Local.FSType; fsType != nil && *fsType != "" {
			refuse("spec.local.fsType", "is %s; a directory has none: remove it", *fsType)
		}
	case source.HostPath != nil:
		e.path = source.HostPath.Path
	default:
		refuse("spec", "has neither local nor hostPath: it is not a local volume; leave it out")
	}
}

func (e *entry) readClaim(pv *corev1.PersistentVolume, refuse refuse) {
	claim := pv.Spec.ClaimRef
	if claim == nil || claim.Name == "" || claim.Namespace == "" {
		refuse("spec.claimRef", "is missing; a set has one claim for each volume: add name and namespace of the claim")
		return
	}
	e.claim, e.namespace = claim.Name, claim.Namespace
	match := ordinalAtEnd.FindStringSubmatch(claim.Name)
	if match == nil {
		refuse("spec.claimRef.name", "%s does not end with -<ordinal>, so that it is not the claim of a StatefulSet; leave "+
			"it out", claim.Name)
		return
	}
	e.pattern = match[1] + "{ordinal}"
	e.ordinal, _ = strconv.Atoi(match[2])
}

// readAffinity reads the node. The node affinity must be one label with one value.
func (e *entry) readAffinity(pv *corev1.PersistentVolume, refuse refuse) {
	const field = "spec.nodeAffinity.required"
	const want = "must have one term with one expression: a node label, In, and one value"
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		refuse(field, "is missing; %s", want)
		return
	}
	terms := pv.Spec.NodeAffinity.Required.NodeSelectorTerms
	if len(terms) != 1 || len(terms[0].MatchFields) > 0 || len(terms[0].MatchExpressions) != 1 {
		refuse(field, want)
		return
	}
	expression := terms[0].MatchExpressions[0]
	if expression.Operator != corev1.NodeSelectorOpIn || len(expression.Values) != 1 {
		refuse(field, "has %s %s %v; it %s", expression.Key, expression.Operator, expression.Values, want)
		return
	}
	e.key, e.node = expression.Key, expression.Values[0]
}

// splitPath splits the path into the base path and the pattern. The pattern begins with the element that contains the
// name of the claim.
func (e *entry) splitPath(refuse refuse) {
	const field = "path"
	elements := strings.Split(e.path, "/")
	at := -1
	for i, element := range slices.Backward(elements) {
		if strings.Contains(element, e.claim) {
			at = i
			break
		}
	}
	move := fmt.Sprintf("while no pod uses it, rename the directory on node %s to %s, and change the path in the file",
		e.node, path.Join(path.Dir(e.path), e.claim))
	if at < 0 {
		refuse(field, "%s does not contain the name of the claim %s, and the path of a volume of a set does; %s", e.path,
			e.claim, move)
		return
	}
	e.basePath = strings.Join(elements[:at], "/")
	if !spec.ValidBasePath(e.basePath) {
		refuse(field, "%s must be absolute, in a directory other than /, and without . or ..; %s", e.path, move)
		return
	}
	relative := elements[at:]
	for i, name := range relative {
		relative[i] = strings.ReplaceAll(name, e.claim, "{claim}")
		if !element.MatchString(relative[i]) || generated.MatchString(relative[i]) {
			refuse(field, "%s has a part that no pathPattern can express (%s); %s", e.path, relative[i], move)
			return
		}
	}
	e.pathPattern = strings.Join(relative, "/")
}

// note adds what has to be done before the set is applied.
func (e *entry) note(pv *corev1.PersistentVolume) {
	if policy := pv.Spec.PersistentVolumeReclaimPolicy; policy != corev1.PersistentVolumeReclaimRetain {
		e.notes = append(e.notes, fmt.Sprintf("PersistentVolume %s has reclaim policy %q, and its data is deleted with its "+
			"claim; run first: kubectl patch pv %s -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'", pv.Name,
			policy, pv.Name))
	}
	if pv.Name != e.claim {
		e.notes = append(e.notes, fmt.Sprintf("PersistentVolume %s gets the name %s: stop the pods, delete the claim %s/%s "+
			"and then PersistentVolume %s (the data stays), and create the claim again", pv.Name, e.claim, e.namespace, e.claim,
			pv.Name))
	} else if pv.Spec.HostPath != nil {
		e.notes = append(e.notes, fmt.Sprintf("PersistentVolume %s becomes a local volume, and the volume source cannot be "+
			"changed: stop the pods, and delete the claim %s/%s and then PersistentVolume %s (the data stays)", pv.Name,
			e.namespace, e.claim, pv.Name))
	}
}
