package desired

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// hashVersion is the prefix of template hashes. A release that renders the same spec as another template must increase
// it and must still recognize pods with hashes of the previous version, so that an upgrade restarts no pod.
const hashVersion = "v3:"

// configMapVersion is the prefix of hashes of templates in which a ConfigMap has runner.json, see withConfigMap.
const configMapVersion = "v2:"

// versionOf returns the version of the template hash in the annotations of a pod or a template. It is empty for the
// first version, whose hashes include the labels.
func versionOf(annotations map[string]string) string {
	for _, version := range []string{hashVersion, configMapVersion} {
		if strings.HasPrefix(annotations[AnnotationTemplateHash], version) {
			return version
		}
	}
	return ""
}

// podTemplate returns the pod template of one role. One of its annotations is its hash.
func (r role) podTemplate() *corev1ac.PodTemplateSpecApplyConfiguration {
	annotations := map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(contract.RunnerPort),
	}
	maps.Copy(annotations, r.template.Metadata.Annotations)
	annotations[annotationConfigHash] = r.configHash()
	podLabels := r.labels()
	template := corev1ac.PodTemplateSpec().WithLabels(podLabels).WithAnnotations(annotations).WithSpec(r.podSpec())
	template.Annotations[AnnotationTemplateHash] = templateHash(template)
	template.Annotations[AnnotationLabels] = string(spec.Encode(r.propagatedLabels(podLabels)))
	return template
}

// labels returns the labels of a pod.
func (r role) labels() map[string]string {
	podLabels := Labels(r.connector, r.podType)
	for key, value := range r.template.Metadata.Labels {
		if _, reserved := podLabels[key]; !reserved || r.connector.Labels[key] != "" {
			podLabels[key] = value
		}
	}
	maps.Copy(podLabels, Selector(r.connector.Name, r.podType))
	if r.spec.Volume != nil {
		podLabels[LabelClaim] = ClaimLabel(r.spec.Volume)
	}
	for _, key := range statefulSetLabels {
		delete(podLabels, key)
	}
	return podLabels
}

// statefulSetLabels are the labels that the StatefulSet controller sets on pods.
var statefulSetLabels = []string{
	appsv1.ControllerRevisionHashLabelKey, appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel,
}

// propagatedLabels returns the labels of a pod that come from the KafkaConnector and its template.
func (r role) propagatedLabels(podLabels map[string]string) map[string]string {
	fixed := Labels(&connectv1.KafkaConnector{ObjectMeta: metav1.ObjectMeta{Name: r.connector.Name}}, r.podType)
	propagated := map[string]string{}
	for key, value := range podLabels {
		if fixed[key] != value && key != LabelClaim {
			propagated[key] = value
		}
	}
	return propagated
}

// templateHash identifies a pod template without labels, which change without a restart, and without the hashes of task
// configs.
func templateHash(template *corev1ac.PodTemplateSpecApplyConfiguration) string {
	if !slices.ContainsFunc(template.Spec.Volumes, isRunnerSecret) {
		return configMapVersion + hashOf(template, nil)
	}
	return hashVersion + hashOf(template, nil)
}

// hashOf returns the hash of a template with other labels.
func hashOf(template *corev1ac.PodTemplateSpecApplyConfiguration, labels map[string]string) string {
	hashed := corev1ac.PodTemplateSpec().WithLabels(labels).WithAnnotations(template.Annotations).WithSpec(template.Spec)
	for _, key := range []string{AnnotationTemplateHash, AnnotationLabels, contract.AnnotationTaskHashes} {
		delete(hashed.Annotations, key)
	}
	return contract.TaskConfigHash(spec.Encode(hashed))
}

// MatchesTemplate reports whether a pod was created from a template with the same hash. Hashes without a version
// include the labels with which the pod was created.
func MatchesTemplate(pod *corev1.Pod, template *corev1ac.PodTemplateSpecApplyConfiguration) bool {
	hash := pod.Annotations[AnnotationTemplateHash]
	if hash == template.Annotations[AnnotationTemplateHash] {
		return true
	}
	template = withConfigMap(template)
	switch versionOf(pod.Annotations) {
	case hashVersion:
		return false
	case configMapVersion:
		return hash == templateHash(template)
	}
	created := maps.Clone(pod.Labels)
	maps.DeleteFunc(created, func(key, _ string) bool { return strings.HasPrefix(key, "topology.kubernetes.io/") })
	for _, key := range statefulSetLabels {
		delete(created, key)
	}
	return hash == hashOf(template, created) || hash == hashOf(template, template.Labels)
}

// Metadata is a change of the labels and annotations of a pod. A nil label is removed.
type Metadata struct {
	Pod         *corev1.Pod
	Labels      map[string]*string
	Annotations map[string]string
}

// SyncMetadata returns the change that gives a pod the labels of the template without a restart, and a template hash
// without labels. It returns nil if the pod needs no change. Each change of the template's labels is written once, so
// that labels that other clients set on the pod later stay.
func SyncMetadata(pod *corev1.Pod, template *corev1ac.PodTemplateSpecApplyConfiguration) *Metadata {
	want := template.Annotations[AnnotationLabels]
	isVersioned := versionOf(pod.Annotations) != ""
	if want == "" {
		// An older version wrote the template. The labels change when a new spec is accepted.
		return nil
	}
	if isVersioned && pod.Annotations[AnnotationLabels] == want || !isVersioned && !MatchesTemplate(pod, template) {
		return nil
	}
	m := &Metadata{Pod: pod, Labels: map[string]*string{}, Annotations: map[string]string{AnnotationLabels: want}}
	if !isVersioned {
		m.Annotations[AnnotationTemplateHash] = templateHash(withConfigMap(template))
	}
	for key := range decodeLabels(pod.Annotations[AnnotationLabels]) {
		m.Labels[key] = nil
		if value, found := template.Labels[key]; found {
			m.Labels[key] = &value
		}
	}
	for key, value := range decodeLabels(want) {
		m.Labels[key] = &value
	}
	return m
}

// decodeLabels returns the value of AnnotationLabels. It returns nil if the value is not valid.
func decodeLabels(value string) map[string]string {
	var labels map[string]string
	if json.Unmarshal([]byte(value), &labels) != nil {
		return nil
	}
	for _, key := range statefulSetLabels {
		delete(labels, key)
	}
	return labels
}
