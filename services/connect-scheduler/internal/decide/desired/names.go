// Package desired builds the objects of a KafkaConnector and compares them with the observed objects.
package desired

import (
	"maps"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// Selector returns the labels that select the pods of one type. They are immutable, as the selector of a StatefulSet
// is.
func Selector(connector, podType string) map[string]string {
	return map[string]string{contract.LabelConnector: connector, contract.LabelType: podType}
}

// Labels returns the labels of an object: the labels of the KafkaConnector, overridden by those that Weir sets.
func Labels(connector *connectv1.KafkaConnector, podType string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, connector.Labels)
	maps.Copy(all, Selector(connector.Name, podType))
	maps.Copy(all, map[string]string{
		contract.LabelName: "kafka-connect", contract.LabelInstance: connector.Name, contract.LabelComponent: podType,
		contract.LabelPartOf: contract.PartOf, contract.LabelManagedBy: observed.Manager,
	})
	return all
}

// OwnerReference returns a reference to the controlling owner.
func OwnerReference(o observed.Owner) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(connectv1.SchemeGroupVersion.String()).WithKind(o.Kind).WithName(o.Name).WithUID(o.UID).
		WithController(true).WithBlockOwnerDeletion(true)
}

// convert returns the apply configuration of a core type. Both have the same JSON form, so it cannot fail.
func convert[To, From any](from From) *To {
	to, err := apply.Convert[To](from)
	if err != nil {
		panic(err.Error())
	}
	return to
}

// configMapVolume and secretVolume return a volume with all keys of a ConfigMap or a Secret.
func configMapVolume(name, configMap string) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(name).WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(configMap))
}

func secretVolume(name, secret string) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(name).WithSecret(corev1ac.SecretVolumeSource().WithSecretName(secret))
}
