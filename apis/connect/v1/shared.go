package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// WorkloadSpec configures the pods of the connector or of the tasks.
type WorkloadSpec struct {
	// image runs connect-runner with the Connect plugins of the connector. Required unless the KafkaConnect of
	// connectRef sets it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches("^(([a-zA-Z0-9-]+([.][a-zA-Z0-9-]+)*|[[][0-9a-fA-F:]+[]])(:[0-9]+)?/)?[a-z0-9]+([.]|_|__|-+|[a-z0-9]+)*(/[a-z0-9]+([.]|_|__|-+|[a-z0-9]+)*)*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{32,})?$")`,messageExpression=`"image '" + self + "' is not a valid reference; set it in the form registry/name:tag or registry/name@digest, in lower case and without spaces, for example ghcr.io/weir-dev/connect-runner:latest"`
	Image string `json:"image,omitempty"`

	// requests are the resource requests of each pod, for example memory: 512M.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Requests map[corev1.ResourceName]resource.Quantity `json:"requests,omitempty"`

	// limits are the resource limits of each pod.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Limits map[corev1.ResourceName]resource.Quantity `json:"limits,omitempty"`

	// serviceSpec requests a Service for the pods, for connectors that listen on a socket. connect-scheduler sets its
	// selector. Tasks also get a headless Service, which gives each task a DNS name.
	// +optional
	ServiceSpec *corev1.ServiceSpec `json:"serviceSpec,omitempty"`
}

// LoggingConfig sets the log levels and the log file of the JVM in each pod.
type LoggingConfig struct {
	// defaultLoggerLevel is the level of the root logger. Default: INFO.
	// +optional
	// +kubebuilder:default=INFO
	DefaultLoggerLevel LogLevel `json:"defaultLoggerLevel,omitempty"`

	// loggerLevels sets the levels of loggers by name.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	LoggerLevels map[string]LogLevel `json:"loggerLevels,omitempty"`

	// file is a log file that each pod writes in addition to standard output. A relative path is below the mountPath
	// of the shared volume. $(POD_NAME) in it is replaced by the name of the pod; without it, the name of the pod is
	// prepended to the name of the file, so that pods do not share a file.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	File string `json:"file,omitempty"`
}

// LogLevel is a log level of Kafka Connect.
// +kubebuilder:validation:Enum=OFF;FATAL;ERROR;WARN;INFO;DEBUG;TRACE;ALL
type LogLevel string

// Plugin is a Connect plugin that is not part of the image: an image volume, or an archive with its checksum.
// +kubebuilder:validation:XValidation:rule="has(self.image) != has(self.url)",message="a plugin needs either image or url, and not both"
// +kubebuilder:validation:XValidation:rule="!has(self.url) || has(self.sha512)",message="a plugin with url needs sha512, the checksum of the archive: compute it with sha512sum"
type Plugin struct {
	// name of the plugin, and of its directory below plugin.path.
	// +required
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// image is an OCI image or artifact that is mounted as an image volume. Excludes url.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches("^(([a-zA-Z0-9-]+([.][a-zA-Z0-9-]+)*|[[][0-9a-fA-F:]+[]])(:[0-9]+)?/)?[a-z0-9]+([.]|_|__|-+|[a-z0-9]+)*(/[a-z0-9]+([.]|_|__|-+|[a-z0-9]+)*)*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{32,})?$")`,messageExpression=`"image '" + self + "' is not a valid reference; set it in the form registry/name:tag or registry/name@digest, in lower case and without spaces, for example ghcr.io/weir-dev/connect-runner:latest"`
	Image string `json:"image,omitempty"`

	// url of an archive (zip, tar.gz or jar). Excludes image; requires sha512.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://`
	URL string `json:"url,omitempty"`

	// sha512 is the checksum of the archive, in hexadecimal.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{128}$`
	SHA512 string `json:"sha512,omitempty"`
}

// StorageSpec requests one volume that all pods share.
// +kubebuilder:validation:XValidation:rule="has(self.existingClaim) || has(self.size)",message="storage.size is required, for example 10Gi, unless existingClaim names a claim"
// +kubebuilder:validation:XValidation:rule="!has(self.existingClaim) || !has(self.size) && !has(self.class)",message="storage.existingClaim excludes size and class: the claim has its own"
// +kubebuilder:validation:XValidation:rule="!has(self.size) || !quantity(self.size).isLessThan(quantity('1'))",message="storage.size must be positive, for example 10Gi"
// +kubebuilder:validation:XValidation:rule="!has(self.size) || !has(oldSelf.size) || !quantity(self.size).isLessThan(quantity(oldSelf.size))",message="storage.size may grow but not shrink: a volume cannot be made smaller without losing data"
// +kubebuilder:validation:XValidation:rule=`(has(self.class) ? self.class : "") == (has(oldSelf.class) ? oldSelf.class : "")`,message="storage.class cannot be changed: the data would stay behind on the old volume. Remove storage, move the data, and add it again with the new class"
// +kubebuilder:validation:XValidation:rule="self.accessMode == oldSelf.accessMode",message="storage.accessMode cannot be changed on an existing claim. Remove storage and add it again with the new mode"
type StorageSpec struct {
	// type of the storage. The only type is persistent-claim.
	// +optional
	// +kubebuilder:default=persistent-claim
	// +kubebuilder:validation:Enum=persistent-claim
	Type string `json:"type,omitempty"`

	// size of the volume, for example 10Gi. It can grow if the class allows expansion. It cannot shrink.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$`
	Size string `json:"size,omitempty"`

	// class is the StorageClass of the claim. Default: the default class of the cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Class string `json:"class,omitempty"`

	// deleteClaim deletes the claim together with its owner. Default: false; the claim and its data are kept, and
	// adopted again when the owner is recreated.
	// +optional
	DeleteClaim bool `json:"deleteClaim,omitempty"`

	// mountPath is the directory at which the volume is mounted in every container. Default: /var/lib/kafka/data.
	// +optional
	// +kubebuilder:default=/var/lib/kafka/data
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && self != '/' && !self.contains(':') && !self.contains('..')",message="mountPath must be an absolute path below / without '..' or ':', for example /mnt/shared"
	// +kubebuilder:validation:XValidation:rule="!['/etc','/usr','/bin','/sbin','/lib','/lib64','/opt','/proc','/sys','/dev','/tmp','/var','/var/lib','/var/run','/run'].exists(p, self == p || self == p + '/') && !self.startsWith('/etc/weir') && !self.startsWith('/opt/weir') && !self.startsWith('/var/lib/weir')",message="mountPath would hide files that the image needs; choose a directory of its own, for example /mnt/shared"
	MountPath string `json:"mountPath,omitempty"`

	// accessMode of the claim: ReadWriteMany, ReadWriteOnce (all pods run on one node) or ReadOnlyMany (mounted
	// read-only). Default: ReadWriteMany.
	// +optional
	// +kubebuilder:default=ReadWriteMany
	// +kubebuilder:validation:XValidation:rule="self != 'ReadWriteOncePod'",message="accessMode ReadWriteOncePod lets only one pod use the volume, and a connector has at least two; use ReadWriteMany or ReadWriteOnce"
	// +kubebuilder:validation:XValidation:rule="self in ['ReadWriteMany','ReadWriteOnce','ReadOnlyMany','ReadWriteOncePod']",message="accessMode must be ReadWriteMany, ReadWriteOnce or ReadOnlyMany"
	AccessMode corev1.PersistentVolumeAccessMode `json:"accessMode,omitempty"`

	// existingClaim names a claim in the same namespace. It is mounted and never changed. Excludes size and class.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ExistingClaim string `json:"existingClaim,omitempty"`

	// subPath is the directory of the volume that is mounted, for example $(CONNECTOR_NAME)/$(POD_NAME). It can
	// contain CONNECTOR_NAME, POD_NAME and TASK_ID; TASK_ID is connector in the connector's pod. Default: the root of
	// the volume.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.contains('..')",message="subPath must be relative and without '..'"
	SubPath string `json:"subPath,omitempty"`

	// volumeAttributesClass of the claim. It can be changed.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	VolumeAttributesClass string `json:"volumeAttributesClass,omitempty"`

	// metadata has labels and annotations of the claim.
	// +optional
	Metadata *TemplateMetadata `json:"metadata,omitempty"`
}

// TemplateSpec customizes pods. The fields metadata, pod and container apply to all pods; connector and task apply to
// one type of pod and take precedence. Labels, annotations and environment variables are merged by key; other fields
// are replaced as a whole.
type TemplateSpec struct {
	WorkloadTemplate `json:",inline"`

	// connector applies to the connector's pod only.
	// +optional
	Connector *WorkloadTemplate `json:"connector,omitempty"`

	// task applies to the pods of the tasks only.
	// +optional
	Task *WorkloadTemplate `json:"task,omitempty"`
}

// WorkloadTemplate customizes pods.
type WorkloadTemplate struct {
	// metadata has labels and annotations of the pods.
	// +optional
	Metadata *TemplateMetadata `json:"metadata,omitempty"`

	// pod customizes the pod spec.
	// +optional
	Pod *PodTemplate `json:"pod,omitempty"`

	// container customizes the container that runs connect-runner.
	// +optional
	Container *ContainerTemplate `json:"container,omitempty"`
}

// TemplateMetadata has labels and annotations of an object.
type TemplateMetadata struct {
	// labels of the object. Labels that connect-scheduler sets cannot be overridden.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the object. Annotations that connect-scheduler sets cannot be overridden.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PodTemplate customizes a pod. Each field has the meaning of the field of the same name in a PodSpec.
type PodTemplate struct {
	// securityContext of the pod.
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`

	// affinity of the pod.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// tolerations of the pod.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// nodeSelector of the pod.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// topologySpreadConstraints of the pod.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// priorityClassName of the pod.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// terminationGracePeriodSeconds is the time, in seconds, that a task has to flush and to commit its offsets.
	// Default: 60.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// volumes are added to the pod. Allowed types: secret, configMap, emptyDir, persistentVolumeClaim, csi and image,
	// unless an administrator changed the list.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Volumes []corev1.Volume `json:"volumes,omitempty"`
}

// ContainerTemplate customizes the container that runs connect-runner.
type ContainerTemplate struct {
	// env is added to the environment of the container. Variables that connect-scheduler sets cannot be overridden.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Env []corev1.EnvVar `json:"env,omitempty"`

	// volumeMounts are added to the container.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// jvmOptions are appended to the options of the JVM, for example -Xlog:gc*:file=/mnt/shared/gc-$(POD_NAME).log.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	JVMOptions []string `json:"jvmOptions,omitempty"`
}
