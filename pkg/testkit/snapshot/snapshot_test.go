package snapshot

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// run returns the objects of one run, with the values that differ between runs.
func run(t *testing.T, namespace, uid, suffix, number string, normalizers ...Normalizer) Snapshot {
	t.Helper()
	const objects = `
apiVersion: v1
kind: Pod
metadata:
  name: web-SUFFIX
  generateName: web-
  namespace: NAMESPACE
  uid: UID1
  resourceVersion: "123UID"
  creationTimestamp: "2026-01-01T00:00:0NUMBERZ"
  ownerReferences: [{apiVersion: example.test/v1, kind: Set, name: owner, uid: UID2}]
  annotations: {hash: "SUFFIX", url: "http://web-SUFFIX.NAMESPACE.svc"}
  managedFields:
  - {manager: b, operation: Update, time: "2026-01-01T00:00:0NUMBERZ"}
  - {manager: a, operation: Apply, time: "2026-01-01T00:00:0NUMBERZ", fieldsV1: {"k:{\"uid\":\"UID2\"}": {}}}
spec: {nodeName: node-NUMBER, volumes: [{name: kube-api-access-SUFFIX}]}
status:
  podIP: 10.0.0.NUMBER
  conditions: CONDITIONS
---
apiVersion: example.test/v1
kind: Set
metadata: {name: owner, namespace: NAMESPACE, uid: UID2, generation: NUMBER}
status: {observedGeneration: NUMBER, pods: [web-SUFFIX], volume: pvc-UID3}
---
apiVersion: v1
kind: Secret
metadata: {name: secret, namespace: NAMESPACE}
data: {plain: aGVsbG8=}
`
	conditions := `[{type: A, status: "True"}, {type: B, status: "True"}, {type: PodScheduled, status: "True"}]`
	if number == "2" {
		conditions = `[{type: PodScheduled, status: "False", reason: SchedulerError}, {type: B, status: "True"},
    {type: A, status: "True"}]`
	}
	text := strings.NewReplacer("NAMESPACE", namespace, "SUFFIX", suffix, "CONDITIONS", conditions,
		"UID1", uid+"1", "UID2", uid+"2", "UID3", uid+"3", "UID", "", "NUMBER", number).Replace(objects)
	var all []*unstructured.Unstructured
	for _, document := range strings.Split(text, "---\n") {
		o := &unstructured.Unstructured{}
		data, err := yaml.YAMLToJSON([]byte(document))
		require.NoError(t, err)
		require.NoError(t, o.UnmarshalJSON(data))
		all = append(all, o)
	}
	return normalize(namespace, all, normalizers)
}

const (
	uidA = "aaaaaaaa-0000-4000-8000-00000000000"
	uidB = "bbbbbbbb-0000-4000-8000-00000000000"
)

func TestFieldsChosenByKubernetesAreIgnored(t *testing.T) {
	hash := RemoveField("metadata", "annotations", "hash")
	a := run(t, "one-xyz", uidA, "bcd24", "1", hash)
	b := run(t, "two-abc", uidB, "fgh57", "2", hash)
	require.Empty(t, a.Diff(b))
	require.Contains(t, slices.Collect(maps.Keys(a)), "Pod/web-<generated>")
	owner := a["Pod/web-<generated>"]["metadata"].(map[string]any)["ownerReferences"].([]any)[0].(map[string]any)
	require.Equal(t, "<uid of Set/owner>", owner["uid"])
}

func TestDiffListsEachDifferentField(t *testing.T) {
	a := run(t, "one-xyz", uidA, "bcd24", "1")
	b := run(t, "two-abc", uidB, "fgh57", "2")
	require.Equal(t, `Pod/web-<generated>.metadata.annotations.hash: got "fgh57", want "bcd24"`, a.Diff(b))
	delete(b, "Secret/secret")
	require.Contains(t, a.Diff(b), "Secret/secret: missing")
	require.Contains(t, b.Diff(a), "Secret/secret: unexpected")
}

func TestOwnerThatDoesNotExistDiffers(t *testing.T) {
	a := run(t, "one-xyz", uidA, "bcd24", "1")
	b := run(t, "one-xyz", uidA, "bcd24", "1", func(o *unstructured.Unstructured) {
		if o.GetKind() == "Pod" {
			references := o.GetOwnerReferences()
			references[0].UID = uidA + "9"
			o.SetOwnerReferences(references)
		}
	})
	require.Equal(
		t,
		`Pod/web-<generated>.metadata.ownerReferences[0].uid: got "<other uid>", want "<uid of Set/owner>"`,
		a.Diff(b),
	)
}

func TestPodsOfAStatefulSetKeepTheirNames(t *testing.T) {
	s := run(t, "one-xyz", uidA, "0", "1")
	require.Contains(t, slices.Collect(maps.Keys(s)), "Pod/web-0")
}
