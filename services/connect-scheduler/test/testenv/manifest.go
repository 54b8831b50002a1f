package testenv

import (
	"context"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Manifest returns the YAML of a KafkaConnector with this tasks.max. Each string of config is a further YAML line of
// connectorConfig. The keys that begin with "fake." control the fake connect-runner; see package fakerunner.
func Manifest(name string, tasks int, config ...string) string {
	var lines strings.Builder
	for _, line := range config {
		lines.WriteString("    " + line + "\n")
	}
	return fmt.Sprintf(`
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: %s}
spec:
  connector: {image: "runner:1"}
  task: {image: "runner:1"}
  workerConfigSecret: {name: worker-config}
  connectorConfig:
    connector.class: FileStreamSource
    tasks.max: "%d"
`, name, tasks) + lines.String()
}

// ManifestWith returns the YAML of a KafkaConnector with one task. The YAML object spec replaces the fields of its spec
// that it names; null removes a field.
func ManifestWith(name, spec string) string {
	var object unstructured.Unstructured
	mustUnmarshal(Manifest(name, 1), &object.Object)
	var fields map[string]any
	mustUnmarshal(spec, &fields)
	merged := object.Object["spec"].(map[string]any)
	for key, value := range fields {
		if value == nil {
			delete(merged, key)
			continue
		}
		merged[key] = value
	}
	out, err := yaml.Marshal(object.Object)
	if err != nil {
		panic("encode a manifest: " + err.Error())
	}
	return string(out)
}

func mustUnmarshal(text string, into any) {
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		panic("decode a manifest: " + err.Error())
	}
}

// BindClaim creates a PersistentVolume that binds to a claim of the namespace.
func (e *Env) BindClaim(claim, class, size string, mode corev1.PersistentVolumeAccessMode) {
	e.Helper()
	e.createVolume(&corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-" + e.Namespace + "-" + claim},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{mode},
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			ClaimRef: &corev1.ObjectReference{Namespace: e.Namespace, Name: claim},
		},
	})
}

// CreateVolume creates a PersistentVolume of 1Gi that any claim of the class can bind to.
func (e *Env) CreateVolume(class string) {
	e.Helper()
	e.createVolume(&corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: class},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany, corev1.ReadWriteOnce},
			Capacity:         corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		},
	})
}

func (e *Env) createVolume(volume *corev1.PersistentVolume) {
	e.Helper()
	volumes := e.Client().CoreV1().PersistentVolumes()
	volume.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/srv"}
	_, err := volumes.Create(e.Context(), volume, metav1.CreateOptions{})
	require.NoError(e, err)
	e.Cleanup(func() { _ = volumes.Delete(context.Background(), volume.Namespace, metav1.DeleteOptions{}) })
}
