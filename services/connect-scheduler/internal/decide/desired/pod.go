package desired

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

const (
	volumeRunner     = spec.VolumePrefix + "runner"
	volumeWorker     = spec.VolumePrefix + "worker"
	volumeTask       = spec.VolumePrefix + "task"
	volumeTaskCommon = spec.VolumePrefix + "task-common"
	volumeTmp        = spec.VolumePrefix + "tmp"
	volumePlugins    = spec.VolumePrefix + "plugins"
	volumeStorage    = spec.VolumePrefix + "storage"
	volumeCandidate  = spec.VolumePrefix + "candidate"
	volumePlugin     = spec.VolumePrefix + "plugin-"

	// defaultGracePeriod is the default of terminationGracePeriodSeconds.
	defaultGracePeriod = 60

	labelPodIndex = "apps.kubernetes.io/pod-index"
)

func (r role) podSpec() *corev1ac.PodSpecApplyConfiguration {
	t := r.template.Pod
	pod := corev1ac.PodSpec().
		WithContainers(r.container()).
		WithVolumes(r.volumes()...).
		WithSecurityContext(podSecurity(t.SecurityContext, r.spec.Volume != nil)).
		WithEnableServiceLinks(false).
		WithAutomountServiceAccountToken(r.podType == contract.TypeConnector).
		WithTerminationGracePeriodSeconds(r.gracePeriod())
	if r.podType == contract.TypeConnector {
		pod.WithServiceAccountName(observed.ConnectorName(r.connector.Name))
	}
	for _, secret := range r.spec.PullSecrets {
		pod.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	for i := range t.Tolerations {
		pod.WithTolerations(convert[corev1ac.TolerationApplyConfiguration](t.Tolerations[i]))
	}
	for i := range t.TopologySpreadConstraints {
		pod.WithTopologySpreadConstraints(
			convert[corev1ac.TopologySpreadConstraintApplyConfiguration](t.TopologySpreadConstraints[i]),
		)
	}
	if len(t.NodeSelector) > 0 {
		pod.WithNodeSelector(t.NodeSelector)
	}
	if t.PriorityClassName != "" {
		pod.WithPriorityClassName(t.PriorityClassName)
	}
	if affinity := affinity(t.Affinity, r.spec.Volume); affinity != nil {
		pod.WithAffinity(convert[corev1ac.AffinityApplyConfiguration](affinity))
	}
	return pod
}

// gracePeriod returns the time, in seconds, that a pod has to stop. connect-runner derives its timeouts from it.
func (r role) gracePeriod() int64 {
	return ptr.Deref(r.template.Pod.TerminationGracePeriodSeconds, defaultGracePeriod)
}

// podSecurity returns the security context of the user. Fields that the user does not set follow the restricted Pod
// Security Standard.
func podSecurity(own *corev1.PodSecurityContext, hasVolume bool) *corev1ac.PodSecurityContextApplyConfiguration {
	merged := corev1.PodSecurityContext{}
	if own != nil {
		merged = *own
	}
	merged.RunAsNonRoot = cmp.Or(merged.RunAsNonRoot, ptr.To(true))
	merged.SeccompProfile = cmp.Or(
		merged.SeccompProfile,
		&corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	)
	if hasVolume {
		// Pods must not change the ownership of all files of a large shared volume each time they start.
		merged.FSGroupChangePolicy = cmp.Or(merged.FSGroupChangePolicy, ptr.To(corev1.FSGroupChangeOnRootMismatch))
	}
	return convert[corev1ac.PodSecurityContextApplyConfiguration](merged)
}

func (r role) container() *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName(r.podType).
		WithImage(r.workload.Image).
		WithImagePullPolicy(pullPolicy(r.spec.PullPolicy, r.workload.Image)).
		WithArgs(r.podType).
		WithEnv(r.environment()...).
		WithPorts(corev1ac.ContainerPort().
			WithName(contract.RunnerPortName).WithContainerPort(contract.RunnerPort).WithProtocol(corev1.ProtocolTCP)).
		WithVolumeMounts(r.mounts()...).
		WithResources(convert[corev1ac.ResourceRequirementsApplyConfiguration](corev1.ResourceRequirements{
			Requests: r.workload.Requests, Limits: r.workload.Limits,
		})).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// The runner downloads plugins before it serves probes. The startup probe allows 10 minutes.
		WithStartupProbe(probe("/healthz", 2, 300)).
		WithLivenessProbe(probe("/healthz", 10, 6)).
		WithReadinessProbe(probe("/readyz", 5, 1))
}

// pullPolicy returns the pull policy of the user or the default of Kubernetes for the image. The API server sets the
// default only when it creates an object. Without pullPolicy a new image would keep the default of the previous image.
func pullPolicy(own corev1.PullPolicy, image string) corev1.PullPolicy {
	_, tag, tagged := strings.Cut(path.Base(image), ":")
	switch {
	case own != "":
		return own
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

func (r role) environment() []*corev1ac.EnvVarApplyConfiguration {
	env := []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName(contract.EnvConnector).WithValue(r.connector.Name),
		fromField(contract.EnvNamespace, "metadata.namespace"),
		fromField(contract.EnvPod, "metadata.name"),
		fromField(contract.EnvNode, "spec.nodeName"),
		fromField(contract.EnvZone, fmt.Sprintf("metadata.labels['%s']", corev1.LabelTopologyZone)),
		corev1ac.EnvVar().WithName(contract.EnvGracePeriod).WithValue(strconv.FormatInt(r.gracePeriod(), 10)),
	}
	// Without the variable, pods that an older version has created keep their template and their topic.
	if topic := r.spec.DefaultOffsetsTopic; topic != contract.DefaultOffsetsTopic {
		if topic == contract.OffsetsTopic(r.connector.Namespace) {
			// The kubelet expands the reference. Templates and their hashes are the same in all namespaces.
			topic = contract.OffsetsTopic("$(" + contract.EnvNamespace + ")")
		}
		env = append(env, corev1ac.EnvVar().WithName(contract.EnvOffsetsTopic).WithValue(topic))
	}
	if r.podType == contract.TypeConnector {
		env = append(env,
			corev1ac.EnvVar().WithName(contract.EnvTaskID).WithValue(contract.TypeConnector),
			corev1ac.EnvVar().WithName(contract.EnvConfigGeneration).WithValue(r.spec.Generation()))
		if r.compact {
			env = append(env, corev1ac.EnvVar().WithName(contract.EnvTaskFormat).WithValue(contract.TaskFormatCompact))
		}
	} else {
		env = append(env,
			fromField(contract.EnvTaskID, fmt.Sprintf("metadata.labels['%s']", labelPodIndex)),
			fromField(contract.EnvTaskHashes, fmt.Sprintf("metadata.annotations['%s']", contract.AnnotationTaskHashes)))
	}
	for i := range r.template.Container.Env {
		env = append(env, convert[corev1ac.EnvVarApplyConfiguration](defaultedEnv(r.template.Container.Env[i])))
	}
	return env
}

func fromField(name, path string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().
		WithName(name).
		WithValueFrom(corev1ac.EnvVarSource().
			WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion(fieldVersion).WithFieldPath(path)))
}

func (r role) volumes() []*corev1ac.VolumeApplyConfiguration {
	found := []*corev1ac.VolumeApplyConfiguration{
		r.runnerVolume(),
		corev1ac.Volume().
			WithName(volumeWorker).
			WithSecret(corev1ac.SecretVolumeSource().WithSecretName(r.spec.WorkerSecret)),
		corev1ac.Volume().WithName(volumeTmp).WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
		corev1ac.Volume().WithName(volumePlugins).WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
	}
	if r.podType == contract.TypeTask {
		found = append(
			found,
			corev1ac.Volume().
				WithName(volumeTask).
				WithSecret(corev1ac.SecretVolumeSource().WithSecretName(observed.TasksName(r.connector.Name))),
		)
	}
	if r.podType == contract.TypeTask && r.compact {
		found = append(found, corev1ac.Volume().WithName(volumeTaskCommon).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(observed.TasksName(r.connector.Name)).
			// The Secret has the key only in the compact format.
			WithOptional(true).
			WithItems(corev1ac.KeyToPath().WithKey(contract.TaskCommonKey).WithPath(contract.TaskCommonKey))))
	}
	for _, p := range r.spec.Plugins {
		if p.Image != "" {
			found = append(
				found,
				corev1ac.Volume().
					WithName(volumePlugin+p.Name).
					WithImage(corev1ac.ImageVolumeSource().WithReference(p.Image)),
			)
		}
	}
	if r.spec.Volume != nil {
		found = append(found, storageVolume(r.spec.Volume))
	}
	for i := range r.template.Pod.Volumes {
		found = append(found, convert[corev1ac.VolumeApplyConfiguration](defaultedVolume(r.template.Pod.Volumes[i])))
	}
	return found
}

func (r role) mounts() []*corev1ac.VolumeMountApplyConfiguration {
	found := []*corev1ac.VolumeMountApplyConfiguration{
		corev1ac.VolumeMount().
			WithName(volumeRunner).
			WithMountPath(path.Dir(contract.RunnerConfigFile)).
			WithReadOnly(true),
		corev1ac.VolumeMount().
			WithName(volumeWorker).
			WithMountPath(path.Dir(contract.WorkerConfigFile)).
			WithReadOnly(true),
		corev1ac.VolumeMount().WithName(volumeTmp).WithMountPath(spec.TmpDir),
		corev1ac.VolumeMount().WithName(volumePlugins).WithMountPath(contract.PluginDir),
	}
	if r.podType == contract.TypeTask {
		// Each task mounts only its own task config. The key contains the complete index of the pod.
		found = append(found, corev1ac.VolumeMount().WithName(volumeTask).WithMountPath(contract.TaskConfigFile).
			WithSubPathExpr(strings.Replace(contract.TaskConfigKey(0), "0", "$("+contract.EnvTaskID+")", 1)).
			WithReadOnly(true))
	}
	if r.podType == contract.TypeTask && r.compact {
		found = append(found, corev1ac.VolumeMount().WithName(volumeTaskCommon).
			WithMountPath(path.Dir(contract.TaskCommonFile)).WithReadOnly(true))
	}
	for _, p := range r.spec.Plugins {
		if p.Image != "" {
			found = append(
				found,
				corev1ac.VolumeMount().
					WithName(volumePlugin+p.Name).
					WithMountPath(path.Join(contract.PluginImageDir, p.Name)).
					WithReadOnly(true),
			)
		}
	}
	if r.spec.Volume != nil {
		found = append(found, storageMount(r.spec.Volume))
	}
	for i := range r.template.Container.VolumeMounts {
		found = append(found, convert[corev1ac.VolumeMountApplyConfiguration](r.template.Container.VolumeMounts[i]))
	}
	return found
}

// runnerConfig returns the settings of connect-runner that are in neither the connector nor the worker configuration.
func (r role) runnerConfig() contract.RunnerConfig {
	config := contract.RunnerConfig{
		DefaultLoggerLevel: string(r.spec.Logging.DefaultLoggerLevel),
		LogFile:            logFile(r.spec),
		DownloadPlugins:    r.spec.DownloadPlugins,
		JVMOptions:         r.template.Container.JVMOptions,
	}
	if len(r.spec.Logging.LoggerLevels) > 0 {
		config.LoggerLevels = map[string]string{}
		for logger, level := range r.spec.Logging.LoggerLevels {
			config.LoggerLevels[logger] = string(level)
		}
	}
	for _, p := range r.spec.Plugins {
		if p.URL != "" {
			config.Plugins = append(config.Plugins, contract.PluginArchive{Name: p.Name, URL: p.URL, SHA512: p.SHA512})
		}
	}
	return config
}

// logFile returns the path of a pod's log file. The path always contains the name of the pod, so that pods never share
// a file.
func logFile(e spec.Effective) string {
	file := e.Logging.File
	if file == "" {
		return ""
	}
	if !path.IsAbs(file) && e.Volume != nil {
		file = path.Join(e.Volume.MountPath(), file)
	}
	podName := "$(" + contract.EnvPod + ")"
	if !strings.Contains(file, podName) {
		file = path.Join(path.Dir(file), podName+"-"+path.Base(file))
	}
	return file
}
