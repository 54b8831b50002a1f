package snapshot

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// dropped are fields, wherever they are, whose values Kubernetes chooses.
var dropped = map[string]bool{
	"resourceVersion": true, "creationTimestamp": true, "generation": true, "selfLink": true,
	"clusterIP": true, "clusterIPs": true, "podIP": true, "podIPs": true, "hostIP": true, "hostIPs": true,
	"nodeName": true, "nodePort": true, "healthCheckNodePort": true,
	"volume.kubernetes.io/selected-node": true,
}

var (
	anyUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// The API server generates names with these letters only; StatefulSet's pods have a generateName, yet names of their own.
	generated   = regexp.MustCompile(`^[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	tokenVolume = regexp.MustCompile(`kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}`)
)

// names replaces, in any text, what stands for an object of this run by what stands for it in every run.
type names struct{ replacer *strings.Replacer }

func newNames(namespace string, objects []*unstructured.Unstructured) *names {
	var pairs []string
	for _, o := range objects {
		name := o.GetName()
		if prefix := o.GetGenerateName(); prefix != "" && generated.MatchString(strings.TrimPrefix(name, prefix)) {
			pairs = append(pairs, name, prefix+"<generated>")
			name = prefix + "<generated>"
		}
		if o.GetUID() == "" {
			continue
		}
		name = strings.ReplaceAll(name, namespace, "<namespace>")
		pairs = append(pairs, string(o.GetUID()), "<uid of "+o.GetKind()+"/"+name+">")
	}
	// The namespace comes last: a generated name may begin with it.
	return &names{strings.NewReplacer(append(pairs, namespace, "<namespace>")...)}
}

func (n *names) in(text string) string {
	text = n.replacer.Replace(text)
	text = anyUID.ReplaceAllString(text, "<uid of another>")
	return tokenVolume.ReplaceAllString(text, "kube-api-access-<generated>")
}

func (n *names) object(o *unstructured.Unstructured) map[string]any {
	generation := o.GetGeneration()
	o = o.DeepCopy()
	o.SetUID("")
	o.SetManagedFields(applied(o.GetManagedFields()))
	if o.GetKind() == "Secret" && o.GetAPIVersion() == "v1" {
		reveal(o)
	}
	if endpoints, _, _ := unstructured.NestedSlice(o.Object, "endpoints"); o.GetKind() == "EndpointSlice" {
		for _, endpoint := range endpoints {
			delete(endpoint.(map[string]any), "addresses")
		}
		_ = unstructured.SetNestedSlice(o.Object, endpoints, "endpoints")
	}
	if node, _, _ := unstructured.NestedString(o.Object, "spec", "nodeName"); o.GetKind() == "Pod" && node != "" {
		forgetScheduling(o)
	}
	return n.value(o.Object, generation).(map[string]any)
}

// forgetScheduling drops what a scheduler that is late says of a pod that has its node: it means one of that name that is gone.
func forgetScheduling(pod *unstructured.Unstructured) {
	conditions, found, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	if !found {
		return
	}
	conditions = slices.DeleteFunc(conditions, func(c any) bool { return identity(c) == "PodScheduled" })
	_ = unstructured.SetNestedSlice(pod.Object, conditions, "status", "conditions")
}

// applied keeps what was applied: a field that its owner has let go of is one that it can no longer remove. Who updated
// what else is a matter of who came last.
func applied(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	entries = slices.DeleteFunc(entries, func(e metav1.ManagedFieldsEntry) bool { return e.Operation != metav1.ManagedFieldsOperationApply })
	for i := range entries {
		entries[i].Time = nil
	}
	slices.SortFunc(entries, func(a, b metav1.ManagedFieldsEntry) int {
		return strings.Compare(a.Manager+"/"+a.Subresource, b.Manager+"/"+b.Subresource)
	})
	return entries
}

// reveal decodes a secret's texts, so that names in them are found.
func reveal(o *unstructured.Unstructured) {
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	for key, value := range data {
		if text, err := base64.StdEncoding.DecodeString(value); err == nil && utf8.Valid(text) {
			data[key] = string(text)
		}
	}
	if len(data) > 0 {
		_ = unstructured.SetNestedStringMap(o.Object, data, "data")
	}
}

func (n *names) value(v any, generation int64) any {
	switch v := v.(type) {
	case map[string]any:
		normal := make(map[string]any, len(v))
		for key, value := range v {
			switch {
			case dropped[key]:
			case key == "observedGeneration":
				normal[key] = observed(value, generation)
			default:
				normal[n.in(key)] = n.value(value, generation)
			}
		}
		for _, key := range []string{"conditions", "ownerReferences", "finalizers"} {
			if list, ok := normal[key].([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(identity(a), identity(b)) })
			}
		}
		return normal
	case []any:
		normal := make([]any, len(v))
		for i, value := range v {
			normal[i] = n.value(value, generation)
		}
		return normal
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			return "<time>"
		}
		return n.in(v)
	}
	return v
}

// observed tells whether a generation is the present one: how many there were before is of no interest.
func observed(v any, generation int64) string {
	if v, ok := v.(int64); ok && v == generation {
		return "<present>"
	}
	return "<past>"
}

// identity orders lists whose order means nothing.
func identity(v any) string {
	if m, ok := v.(map[string]any); ok {
		if t, ok := m["type"].(string); ok {
			return t
		}
	}
	return show(v)
}
