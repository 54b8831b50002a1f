package decide

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
)

const (
	// volumePrefix is that of the names of Weir's own volumes.
	volumePrefix  = "weir-"
	volumeRunner  = volumePrefix + "runner"
	volumeWorker  = volumePrefix + "worker"
	volumeTask    = volumePrefix + "task"
	volumeTmp     = volumePrefix + "tmp"
	volumePlugins = volumePrefix + "plugins"
	volumeStorage = volumePrefix + "storage"
	volumePlugin  = volumePrefix + "plugin-"
	tmpDir        = "/tmp"

	// gracePeriod lets Connect stop its tasks (50 s) before the pod is killed.
	gracePeriod = 60

	labelPodIndex = "apps.kubernetes.io/pod-index"
)

// reservedEnv are the names that every container has from Weir.
var reservedEnv = []string{contract.EnvConnector, contract.EnvNamespace, contract.EnvPod, contract.EnvNode, contract.EnvZone, contract.EnvTaskID, contract.EnvConfigGeneration, contract.EnvTaskHashes}

func podSpec(s State, e effective, k kind) *corev1ac.PodSpecApplyConfiguration {
	t := k.template.Pod
	spec := corev1ac.PodSpec().
		WithContainers(container(s, e, k)).
		WithVolumes(volumes(s, e, k)...).
		WithSecurityContext(podSecurity(t.SecurityContext, e.storage != nil)).
		WithEnableServiceLinks(false).
		WithAutomountServiceAccountToken(k.name == contract.TypeConnector).
		WithTerminationGracePeriodSeconds(*cmp.Or(t.TerminationGracePeriodSeconds, ptr.To[int64](gracePeriod)))
	if k.name == contract.TypeConnector {
		spec.WithServiceAccountName(ConnectorName(s.Connector.Name))
	}
	for _, secret := range e.pullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	for i := range t.Tolerations {
		spec.WithTolerations(convert[corev1ac.TolerationApplyConfiguration](t.Tolerations[i]))
	}
	for i := range t.TopologySpreadConstraints {
		spec.WithTopologySpreadConstraints(convert[corev1ac.TopologySpreadConstraintApplyConfiguration](t.TopologySpreadConstraints[i]))
	}
	if len(t.NodeSelector) > 0 {
		spec.WithNodeSelector(t.NodeSelector)
	}
	if t.PriorityClassName != "" {
		spec.WithPriorityClassName(t.PriorityClassName)
	}
	if affinity := affinity(t.Affinity, e); affinity != nil {
		spec.WithAffinity(convert[corev1ac.AffinityApplyConfiguration](affinity))
	}
	return spec
}

// podSecurity is the restricted Pod Security Standard, under what the user asks for field by field.
func podSecurity(own *corev1.PodSecurityContext, hasStorage bool) *corev1ac.PodSecurityContextApplyConfiguration {
	merged := corev1.PodSecurityContext{}
	if own != nil {
		merged = *own
	}
	merged.RunAsNonRoot = cmp.Or(merged.RunAsNonRoot, ptr.To(true))
	merged.SeccompProfile = cmp.Or(merged.SeccompProfile, &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault})
	if hasStorage {
		// A large shared volume is not walked through by every pod that starts.
		merged.FSGroupChangePolicy = cmp.Or(merged.FSGroupChangePolicy, ptr.To(corev1.FSGroupChangeOnRootMismatch))
	}
	return convert[corev1ac.PodSecurityContextApplyConfiguration](merged)
}

func container(s State, e effective, k kind) *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName(k.name).
		WithImage(k.workload.Image).
		WithImagePullPolicy(pullPolicy(e.pullPolicy, k.workload.Image)).
		WithArgs(k.name).
		WithEnv(environment(s, e, k)...).
		WithPorts(corev1ac.ContainerPort().WithName(contract.RunnerPortName).WithContainerPort(contract.RunnerPort).WithProtocol(corev1.ProtocolTCP)).
		WithVolumeMounts(mounts(e, k)...).
		WithResources(convert[corev1ac.ResourceRequirementsApplyConfiguration](corev1.ResourceRequirements{Requests: k.workload.Requests, Limits: k.workload.Limits})).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// Downloads of plugins come before the first answer: 10 minutes are allowed for them.
		WithStartupProbe(probe("/healthz", 2, 300)).
		WithLivenessProbe(probe("/healthz", 10, 6)).
		WithReadinessProbe(probe("/readyz", 5, 1))
}

// pullPolicy is Kubernetes' own default where the user leaves it out. The API fills it in only when an object is made, so that
// another image would keep the policy of the former one.
func pullPolicy(asked corev1.PullPolicy, image string) corev1.PullPolicy {
	_, tag, tagged := strings.Cut(path.Base(image), ":")
	switch {
	case asked != "":
		return asked
	case strings.Contains(image, "@") || tagged && tag != "latest":
		return corev1.PullIfNotPresent
	}
	return corev1.PullAlways
}

func probe(path string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(contract.RunnerPortName))).
		WithPeriodSeconds(period).WithFailureThreshold(failures).WithTimeoutSeconds(5)
}

func environment(s State, e effective, k kind) []*corev1ac.EnvVarApplyConfiguration {
	env := []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName(contract.EnvConnector).WithValue(s.Connector.Name),
		fromField(contract.EnvNamespace, "metadata.namespace"),
		fromField(contract.EnvPod, "metadata.name"),
		fromField(contract.EnvNode, "spec.nodeName"),
		fromField(contract.EnvZone, fmt.Sprintf("metadata.labels['%s']", corev1.LabelTopologyZone)),
	}
	if k.name == contract.TypeConnector {
		env = append(env,
			corev1ac.EnvVar().WithName(contract.EnvTaskID).WithValue(contract.TypeConnector),
			corev1ac.EnvVar().WithName(contract.EnvConfigGeneration).WithValue(e.generation()))
	} else {
		env = append(env,
			fromField(contract.EnvTaskID, fmt.Sprintf("metadata.labels['%s']", labelPodIndex)),
			fromField(contract.EnvTaskHashes, fmt.Sprintf("metadata.annotations['%s']", contract.AnnotationTaskHashes)))
	}
	for i := range k.template.Container.Env {
		env = append(env, convert[corev1ac.EnvVarApplyConfiguration](defaultedEnv(k.template.Container.Env[i])))
	}
	return env
}

func fromField(name, path string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion(fieldVersion).WithFieldPath(path)))
}

func volumes(s State, e effective, k kind) []*corev1ac.VolumeApplyConfiguration {
	runner := corev1ac.ProjectedVolumeSource().WithSources(corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName(k.object)))
	if k.name == contract.TypeConnector {
		runner.WithSources(corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(k.object)))
	}
	found := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName(volumeRunner).WithProjected(runner),
		corev1ac.Volume().WithName(volumeWorker).WithSecret(corev1ac.SecretVolumeSource().WithSecretName(e.workerSecret)),
		corev1ac.Volume().WithName(volumeTmp).WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
		corev1ac.Volume().WithName(volumePlugins).WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
	}
	if k.name == contract.TypeTask {
		found = append(found, corev1ac.Volume().WithName(volumeTask).WithSecret(corev1ac.SecretVolumeSource().WithSecretName(TasksName(s.Connector.Name))))
	}
	for _, p := range e.plugins {
		if p.Image != "" {
			found = append(found, corev1ac.Volume().WithName(volumePlugin+p.Name).WithImage(corev1ac.ImageVolumeSource().WithReference(p.Image)))
		}
	}
	if e.storage != nil {
		found = append(found, storageVolume(e))
	}
	for i := range k.template.Pod.Volumes {
		found = append(found, convert[corev1ac.VolumeApplyConfiguration](defaultedVolume(k.template.Pod.Volumes[i])))
	}
	return found
}

func mounts(e effective, k kind) []*corev1ac.VolumeMountApplyConfiguration {
	found := []*corev1ac.VolumeMountApplyConfiguration{
		corev1ac.VolumeMount().WithName(volumeRunner).WithMountPath(path.Dir(contract.RunnerConfigFile)).WithReadOnly(true),
		corev1ac.VolumeMount().WithName(volumeWorker).WithMountPath(path.Dir(contract.WorkerConfigFile)).WithReadOnly(true),
		corev1ac.VolumeMount().WithName(volumeTmp).WithMountPath(tmpDir),
		corev1ac.VolumeMount().WithName(volumePlugins).WithMountPath(contract.PluginDir),
	}
	if k.name == contract.TypeTask {
		// A task sees its own configuration and no other: the index is the pod's whole index, however many digits it has.
		found = append(found, corev1ac.VolumeMount().WithName(volumeTask).WithMountPath(contract.TaskConfigFile).
			WithSubPathExpr(strings.Replace(contract.TaskConfigKey(0), "0", "$("+contract.EnvTaskID+")", 1)).WithReadOnly(true))
	}
	for _, p := range e.plugins {
		if p.Image != "" {
			found = append(found, corev1ac.VolumeMount().WithName(volumePlugin+p.Name).WithMountPath(path.Join(contract.PluginImageDir, p.Name)).WithReadOnly(true))
		}
	}
	if e.storage != nil {
		found = append(found, storageMount(e.storage))
	}
	for i := range k.template.Container.VolumeMounts {
		found = append(found, convert[corev1ac.VolumeMountApplyConfiguration](k.template.Container.VolumeMounts[i]))
	}
	return found
}

// runnerConfig is the file that tells connect-runner what is neither the connector's nor the worker's configuration.
func runnerConfig(e effective, k kind) contract.RunnerConfig {
	config := contract.RunnerConfig{
		DefaultLoggerLevel: string(e.logging.DefaultLoggerLevel),
		LogFile:            logFile(e),
		DownloadPlugins:    e.downloadPlugins,
		JVMOptions:         k.template.Container.JVMOptions,
	}
	if len(e.logging.LoggerLevels) > 0 {
		config.LoggerLevels = map[string]string{}
		for logger, level := range e.logging.LoggerLevels {
			config.LoggerLevels[logger] = string(level)
		}
	}
	for _, p := range e.plugins {
		if p.URL != "" {
			config.Plugins = append(config.Plugins, contract.PluginArchive{Name: p.Name, URL: p.URL, SHA512: p.SHA512})
		}
	}
	return config
}

// logFile is the file that a pod's log goes to; its name always holds the pod's, so that pods never write to one file.
func logFile(e effective) string {
	file := e.logging.File
	if file == "" {
		return ""
	}
	if !path.IsAbs(file) && e.storage != nil {
		file = path.Join(mountPath(e.storage), file)
	}
	podName := "$(" + contract.EnvPod + ")"
	if !strings.Contains(file, podName) {
		file = path.Join(path.Dir(file), podName+"-"+path.Base(file))
	}
	return file
}

// convert turns a core type into its apply configuration; these have the same JSON form, so there is no error to handle.
func convert[To, From any](from From) *To {
	to, err := apply.Convert[To](from)
	if err != nil {
		panic(err.Error())
	}
	return to
}
