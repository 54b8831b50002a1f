package desired

import (
	"path"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// Keys of the Secret `<connector>-connector`. The tasks mount their runner.json from it too: connect-scheduler is its
// only writer, while connect-runner writes the Secret `<connector>-tasks`.
const keyTaskRunner = "task-runner.json"

var (
	keyConnector = path.Base(contract.ConnectorConfigFile)
	keyRunner    = path.Base(contract.RunnerConfigFile)
)

// connectorFiles returns the values of the Secret `<connector>-connector`.
func (b Builder) connectorFiles() map[string][]byte {
	return map[string][]byte{
		keyConnector:  spec.Encode(b.spec.ConnectorConfig),
		keyRunner:     spec.Encode(b.connector.runnerConfig()),
		keyTaskRunner: spec.Encode(b.tasks.runnerConfig()),
	}
}

// hasOtherRunnerFiles reports whether the pods run with other runner.json files than those of the spec.
func (b Builder) hasOtherRunnerFiles() bool {
	live := b.state.Objects.ConnectorSecret
	if live == nil {
		return false
	}
	want := b.connectorFiles()
	return slices.ContainsFunc([]string{keyRunner, keyTaskRunner}, func(key string) bool {
		hash, found := live.Data[key]
		return found && string(hash) != contract.TaskConfigHash(want[key])
	})
}

// keepRunnerFiles replaces the runner.json files of a new spec, which is held back, by those of the accepted spec. Pods
// that an older version has created mount none from the Secret.
func keepRunnerFiles(s observed.State, files map[string][]byte) {
	for _, key := range []string{keyRunner, keyTaskRunner} {
		if accepted, found := s.AcceptedFiles[key]; found {
			files[key] = accepted
		} else if live := s.Objects.ConnectorSecret; live != nil && live.Data[key] == nil {
			delete(files, key)
		}
	}
}

// runnerVolume returns the volume with runner.json, and connector.json in the connector's pod.
func (r role) runnerVolume() *corev1ac.VolumeApplyConfiguration {
	source := corev1ac.SecretVolumeSource().WithSecretName(observed.ConnectorName(r.connector.Name))
	if r.podType == contract.TypeConnector {
		source.WithItems(item(keyConnector, keyConnector), item(keyRunner, keyRunner))
	} else {
		source.WithItems(item(keyTaskRunner, keyRunner))
	}
	return corev1ac.Volume().WithName(volumeRunner).WithSecret(source)
}

func item(key, file string) *corev1ac.KeyToPathApplyConfiguration {
	return corev1ac.KeyToPath().WithKey(key).WithPath(file)
}

// withConfigMap returns a pod template as the previous version has rendered it: runner.json is in a ConfigMap, which
// has the name of the StatefulSet.
func withConfigMap(
	template *corev1ac.PodTemplateSpecApplyConfiguration,
) *corev1ac.PodTemplateSpecApplyConfiguration {
	i := slices.IndexFunc(template.Spec.Volumes, isRunnerSecret)
	if i < 0 {
		return template
	}
	secret := *template.Spec.Volumes[i].Secret.SecretName
	sources := corev1ac.ProjectedVolumeSource()
	if template.Labels[contract.LabelType] == contract.TypeConnector {
		sources.WithSources(
			corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName(secret)),
			corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(secret)))
	} else {
		tasks := observed.TasksName(template.Labels[contract.LabelConnector])
		sources.WithSources(
			corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName(tasks)))
	}
	podSpec := *template.Spec
	podSpec.Volumes = slices.Clone(podSpec.Volumes)
	podSpec.Volumes[i] = *corev1ac.Volume().WithName(volumeRunner).WithProjected(sources)
	previous := *template
	previous.Spec = &podSpec
	return &previous
}

func isRunnerSecret(v corev1ac.VolumeApplyConfiguration) bool {
	return v.Name != nil && *v.Name == volumeRunner && v.Secret != nil
}

// obsoleteConfigMaps returns the ConfigMaps that an older version has created, once no pod mounts them. Pods keep them
// until their template changes, so that an upgrade restarts no pod.
func obsoleteConfigMaps(s observed.State) []*corev1.ConfigMap {
	var obsolete []*corev1.ConfigMap
	for _, configMap := range s.Objects.ConfigMaps {
		if s.Ownership(configMap) == observed.Owned {
			obsolete = append(obsolete, configMap)
		}
	}
	if len(obsolete) == 0 || mayMountConfigMaps(s, s.Objects.ConnectorSet, contract.TypeConnector) ||
		mayMountConfigMaps(s, s.Objects.TaskSet, contract.TypeTask) {
		return nil
	}
	for _, pod := range s.Pods.OneShots {
		// A one-shot pod has the template that was current when it was created.
		if pod.Result == nil {
			return nil
		}
	}
	return obsolete
}

// mayMountConfigMaps reports whether a pod of the StatefulSet may mount a ConfigMap: one of the observed pods, one that
// the caches have not seen, or one that the StatefulSet controller can still create.
func mayMountConfigMaps(s observed.State, set *appsv1.StatefulSet, podType string) bool {
	pods := 0
	for _, pod := range s.Pods.Workload {
		if pod.Labels[contract.LabelType] != podType {
			continue
		}
		if pods++; versionOf(pod.Annotations) != hashVersion {
			return true
		}
	}
	return set != nil && (versionOf(set.Spec.Template.Annotations) != hashVersion ||
		set.Status.ObservedGeneration < set.Generation || int(set.Status.Replicas) > pods)
}
