package decidetest

import (
	"slices"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// MountConfigMaps replaces the objects by those that the previous version has created: its pods read runner.json from
// the ConfigMaps `<connector>-connector` and `<connector>-tasks`.
func (s *Env) MountConfigMaps() {
	s.Helper()
	live := &s.State.Objects
	secret, err := corev1ac.ExtractSecret(live.ConnectorSecret, observed.Manager)
	require.NoError(s, err)
	secret.Data = map[string][]byte{"connector.json": s.ConnectorFiles()["connector.json"]}
	s.applySecret(secret, &live.ConnectorSecret)
	live.ConfigMaps = nil
	for _, set := range []**appsv1.StatefulSet{&live.ConnectorSet, &live.TaskSet} {
		if *set == nil {
			continue
		}
		configMap := &corev1.ConfigMap{ObjectMeta: *(*set).ObjectMeta.DeepCopy()}
		configMap.UID = "config-map-" + configMap.UID
		live.ConfigMaps = append(live.ConfigMaps, configMap)
		want, err := appsv1ac.ExtractStatefulSet(*set, observed.Manager)
		require.NoError(s, err)
		mountConfigMap(want)
		put(s, []*appsv1ac.StatefulSetApplyConfiguration{want}, set)
		hash := want.Spec.Template.Annotations[desired.AnnotationTemplateHash]
		for _, pod := range s.Pods {
			if pod.Labels[contract.LabelType] == (*set).Spec.Template.Labels[contract.LabelType] {
				pod.Annotations[desired.AnnotationTemplateHash] = hash
			}
		}
	}
}

func mountConfigMap(set *appsv1ac.StatefulSetApplyConfiguration) {
	template := set.Spec.Template
	i := slices.IndexFunc(template.Spec.Volumes, func(v corev1ac.VolumeApplyConfiguration) bool {
		return *v.Name == "weir-runner"
	})
	volume := corev1ac.ProjectedVolumeSource().WithSources(
		corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName(*set.Name)))
	if template.Labels[contract.LabelType] == contract.TypeConnector {
		volume.WithSources(corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(*set.Name)))
	}
	template.Spec.Volumes[i] = *corev1ac.Volume().WithName("weir-runner").WithProjected(volume)
	template.Annotations[desired.AnnotationTemplateHash] = "v2:" + HashOfTemplate(template, nil)
}

// HashOfTemplate returns the hash of a pod template with other labels, as previous versions have computed it.
func HashOfTemplate(template *corev1ac.PodTemplateSpecApplyConfiguration, labels map[string]string) string {
	hashed := corev1ac.PodTemplateSpec().
		WithLabels(labels).WithAnnotations(template.Annotations).WithSpec(template.Spec)
	for _, key := range []string{
		desired.AnnotationTemplateHash, desired.AnnotationLabels, contract.AnnotationTaskHashes,
	} {
		delete(hashed.Annotations, key)
	}
	return contract.TaskConfigHash(spec.Encode(hashed))
}
