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

// dropped contains fields at any depth whose values Kubernetes chooses.
var dropped = map[string]bool{
	"resourceVersion": true, "creationTimestamp": true, "generation": true, "selfLink": true,
	"clusterIP": true, "clusterIPs": true, "podIP": true, "podIPs": true, "hostIP": true, "hostIPs": true,
	"nodeName": true, "nodePort": true, "healthCheckNodePort": true,
	"volume.kubernetes.io/selected-node": true,
}

var (
	anyUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// The API server generates names with these letters. Pods of a StatefulSet have a generateName but fixed names.
	generated   = regexp.MustCompile(`^[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	tokenVolume = regexp.MustCompile(`kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}`)
)

// names replaces UIDs, generated names and the namespace in texts by placeholders that are the same in every run.
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
	// The namespace is last, because a generated name may start with it.
	return &names{strings.NewReplacer(append(pairs, namespace, "<namespace>")...)}
}

func (n *names) in(text string) string {
	text = n.replacer.Replace(text)
	text = anyUID.ReplaceAllString(text, "<other uid>")
	return tokenVolume.ReplaceAllString(text, "kube-api-access-<generated>")
}

func (n *names) object(o *unstructured.Unstructured) map[string]any {
	generation := o.GetGeneration()
	o = o.DeepCopy()
	o.SetUID("")
	o.SetManagedFields(applied(o.GetManagedFields()))
	if o.GetKind() == "Secret" && o.GetAPIVersion() == "v1" {
		decodeSecret(o)
	}
	if endpoints, _, _ := unstructured.NestedSlice(o.Object, "endpoints"); o.GetKind() == "EndpointSlice" {
		for _, endpoint := range endpoints {
			delete(endpoint.(map[string]any), "addresses")
		}
		_ = unstructured.SetNestedSlice(o.Object, endpoints, "endpoints")
	}
	if node, _, _ := unstructured.NestedString(o.Object, "spec", "nodeName"); o.GetKind() == "Pod" && node != "" {
		removePodScheduled(o)
	}
	return n.value(o.Object, generation).(map[string]any)
}

// removePodScheduled removes a condition that a late scheduler may have written for a previous pod with the same name.
func removePodScheduled(pod *unstructured.Unstructured) {
	conditions, found, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	if !found {
		return
	}
	conditions = slices.DeleteFunc(conditions, func(c any) bool { return identity(c) == "PodScheduled" })
	_ = unstructured.SetNestedSlice(pod.Object, conditions, "status", "conditions")
}

// applied keeps the entries of server-side apply, because they determine which fields a manager can remove. The entries
// of updates depend on the order of the writes.
func applied(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	entries = slices.DeleteFunc(
		entries,
		func(e metav1.ManagedFieldsEntry) bool { return e.Operation != metav1.ManagedFieldsOperationApply },
	)
	for i := range entries {
		entries[i].Time = nil
	}
	slices.SortFunc(entries, func(a, b metav1.ManagedFieldsEntry) int {
		return strings.Compare(a.Manager+"/"+a.Subresource, b.Manager+"/"+b.Subresource)
	})
	return entries
}

// decodeSecret decodes the texts of a Secret, so that names in them are replaced.
func decodeSecret(o *unstructured.Unstructured) {
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

// observed reports only whether a generation is the current one. The number of generations depends on the run.
func observed(v any, generation int64) string {
	if v, ok := v.(int64); ok && v == generation {
		return "<current>"
	}
	return "<past>"
}

// identity is the sort key of elements of unordered lists.
func identity(v any) string {
	if m, ok := v.(map[string]any); ok {
		if t, ok := m["type"].(string); ok {
			return t
		}
	}
	return show(v)
}
