// Package adopt finds the KafkaLocalVolumeSets that yield existing PersistentVolumes.
package adopt

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// maxTemplates is the largest number of templates of a set.
const maxTemplates = 8

// Sets returns the sets that yield the PersistentVolumes, and what has to be done before they are applied. The error
// names each PersistentVolume and field that a set cannot express.
func Sets(pvs []corev1.PersistentVolume) (sets []storagev1alpha1.KafkaLocalVolumeSet, notes []string, err error) {
	if len(pvs) == 0 {
		return nil, nil, errors.New("there are no PersistentVolumes; use the output of kubectl get pv -o yaml")
	}
	var entries []entry
	var problems []error
	for i := range pvs {
		e, err := read(&pvs[i])
		problems = append(problems, err)
		if err == nil {
			entries = append(entries, e)
			notes = append(notes, e.notes...)
		}
	}
	problems = append(problems, duplicates(entries)...)
	templates, err := templatesOf(entries)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, nil, err
	}
	return setsOf(templates), notes, nil
}

// duplicates returns an error for each claim or directory that two PersistentVolumes have.
func duplicates(entries []entry) []error {
	var problems []error
	claims, directories := map[string]string{}, map[string]string{}
	for _, e := range entries {
		claim, directory := e.namespace+"/"+e.claim, e.node+":"+e.path
		if other, taken := claims[claim]; taken {
			problems = append(problems, fmt.Errorf("PersistentVolume %s: spec.claimRef names claim %s, which PersistentVolume "+
				"%s names too; remove one of them", e.pv, claim, other))
		}
		if other, taken := directories[directory]; taken {
			problems = append(problems, fmt.Errorf("PersistentVolume %s: spec.local.path %s is also the path of "+
				"PersistentVolume %s on node %s; remove one of them", e.pv, e.path, other, e.node))
		}
		claims[claim], directories[directory] = e.pv, e.pv
	}
	return problems
}

// template is a volumeClaimTemplate with one PersistentVolume per ordinal.
type template struct {
	group
	pattern string
	entries []entry
}

// nodes returns the node of each ordinal.
func (t template) nodes() []string {
	var nodes []string
	for _, e := range t.entries {
		nodes = append(nodes, e.node)
	}
	return nodes
}

// templatesOf groups the entries by the name of their claims without the ordinal.
func templatesOf(entries []entry) ([]template, error) {
	type key struct {
		group
		pattern string
	}
	grouped := map[key][]entry{}
	for _, e := range entries {
		k := key{e.group, e.pattern}
		grouped[k] = append(grouped[k], e)
	}
	var templates []template
	var problems []error
	for k, members := range grouped {
		slices.SortFunc(members, func(a, b entry) int { return cmp.Compare(a.ordinal, b.ordinal) })
		t := template{k.group, k.pattern, members}
		problems = append(problems, complete(t))
		templates = append(templates, t)
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	slices.SortFunc(templates, func(a, b template) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.pattern, b.pattern),
			strings.Compare(a.basePath, b.basePath), strings.Compare(a.pathPattern, b.pathPattern),
			strings.Compare(a.class, b.class))
	})
	return templates, errors.Join(problems...)
}

// complete checks that a template has all ordinals, with the same size and access modes.
func complete(t template) error {
	first := t.entries[0]
	for i, e := range t.entries {
		if e.ordinal != i {
			return fmt.Errorf("PersistentVolume %s: spec.claimRef.name %s has ordinal %d, and there is no PersistentVolume for "+
				"ordinal %d with the same storageClassName, directory, mountOptions and node label; a set has all ordinals from "+
				"0: add or change it", e.pv, e.claim, e.ordinal, i)
		}
		if e.size.Cmp(first.size) != 0 {
			return fmt.Errorf("PersistentVolume %s: spec.capacity.storage %s differs from %s of PersistentVolume %s; all "+
				"ordinals of a template have one size: raise the smaller one in the file and in the cluster", e.pv,
				e.size.String(), first.size.String(), first.pv)
		}
		if !slices.Equal(e.modes, first.modes) {
			return fmt.Errorf("PersistentVolume %s: spec.accessModes %v differ from %v of PersistentVolume %s; all ordinals of "+
				"a template have the same access modes: add the missing ones", e.pv, e.modes, first.modes, first.pv)
		}
	}
	return nil
}

// setsOf joins templates into sets. The volumes of one ordinal are on one node in all templates of a set.
func setsOf(templates []template) []storagev1alpha1.KafkaLocalVolumeSet {
	var joined [][]template
	for _, t := range templates {
		i := slices.IndexFunc(joined, func(s []template) bool {
			return len(s) < maxTemplates && s[0].group == t.group && slices.Equal(s[0].nodes(), t.nodes())
		})
		if i < 0 {
			joined = append(joined, nil)
			i = len(joined) - 1
		}
		joined[i] = append(joined[i], t)
	}
	names, sets := map[string]bool{}, make([]storagev1alpha1.KafkaLocalVolumeSet, 0, len(joined))
	for _, members := range joined {
		sets = append(sets, setOf(members, names))
	}
	return sets
}

func setOf(templates []template, names map[string]bool) storagev1alpha1.KafkaLocalVolumeSet {
	first := templates[0]
	name := unique(first.namespace, nameOf(templates), names)
	set := storagev1alpha1.KafkaLocalVolumeSet{
		TypeMeta: metav1.TypeMeta{
			APIVersion: storagev1alpha1.SchemeGroupVersion.String(), Kind: "KafkaLocalVolumeSet",
		},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: first.namespace},
		Spec: storagev1alpha1.KafkaLocalVolumeSetSpec{
			Replicas: int32(len(first.entries)), NodeAffinityKey: first.key, BasePath: first.basePath,
			PathPattern: first.pathPattern, StorageClassName: first.class, MountOptions: first.entries[0].mountOptions,
			AdoptExisting: storagev1alpha1.AdoptUnmarked,
			Nodes:         &storagev1alpha1.NodeChoice{PerReplica: first.nodes()},
		},
	}
	if nodes := slices.Compact(first.nodes()); len(nodes) == 1 {
		set.Spec.Nodes = &storagev1alpha1.NodeChoice{List: nodes}
	}
	for i, templateName := range templateNames(templates) {
		e := templates[i].entries[0]
		set.Spec.Templates = append(set.Spec.Templates, storagev1alpha1.VolumeTemplate{
			Name: templateName, ClaimNamePattern: templates[i].pattern, Size: e.size, AccessModes: e.modes,
		})
	}
	return set
}

// unique returns a name that no other set of the namespace has.
func unique(namespace, name string, taken map[string]bool) string {
	for i := 1; ; i++ {
		candidate := name
		if i > 1 {
			candidate = fmt.Sprintf("%s-%d", name, i)
		}
		if !taken[namespace+"/"+candidate] {
			taken[namespace+"/"+candidate] = true
			return candidate
		}
	}
}

// words returns the words of a claim name without its ordinal.
func words(pattern string) []string {
	return strings.Split(strings.TrimSuffix(pattern, "-{ordinal}"), "-")
}

// nameOf returns the longest run of words that the claims of all templates have, such as cp-helm-charts-cp.
func nameOf(templates []template) string {
	all := words(templates[0].pattern)
	for length := len(all); length > 0; length-- {
		for start := 0; start+length <= len(all); start++ {
			run := "-" + strings.Join(all[start:start+length], "-") + "-"
			inAll := !slices.ContainsFunc(templates, func(t template) bool {
				return !strings.Contains("-"+strings.Join(words(t.pattern), "-")+"-", run)
			})
			if inAll {
				return strings.Trim(run, "-")
			}
		}
	}
	return strings.Join(all, "-")
}

// templateNames returns the words of the claims before the name of the set, or all words if those are not unique.
func templateNames(templates []template) []string {
	name := nameOf(templates)
	short := map[string]bool{}
	names := make([]string, len(templates))
	for i, t := range templates {
		before, _, _ := strings.Cut("-"+strings.Join(words(t.pattern), "-")+"-", "-"+name+"-")
		names[i] = strings.Trim(before, "-")
		short[names[i]] = true
	}
	if short[""] || len(short) < len(templates) || len(slices.MaxFunc(slices.Collect(maps.Keys(short)), longer)) > 63 {
		for i, t := range templates {
			names[i] = strings.Join(words(t.pattern), "-")
			if len(names[i]) > 63 || strings.Contains(names[i], ".") {
				names[i] = fmt.Sprintf("template-%d", i)
			}
		}
	}
	return names
}

func longer(a, b string) int { return cmp.Compare(len(a), len(b)) }
