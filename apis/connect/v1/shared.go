package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// WorkloadSpec describes the pods of one kind, connector or task (seed 001).
type WorkloadSpec struct {
	// image runs connect-runner with the Connect plugins that the connector needs.
	// Required, unless the KafkaConnect of connectRef gives one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// requests are the compute resources that each pod is guaranteed, for example `memory: 512M`.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Requests map[corev1.ResourceName]resource.Quantity `json:"requests,omitempty"`

	// limits are the compute resources that each pod may use at the most.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Limits map[corev1.ResourceName]resource.Quantity `json:"limits,omitempty"`

	// serviceSpec asks for a Service in front of the pods, for connectors that listen on a socket.
	// Its selector is always the pods' own. Tasks get a headless Service beside it, so that each can be named.
	// +optional
	ServiceSpec *corev1.ServiceSpec `json:"serviceSpec,omitempty"`
}

// LoggingConfig sets the log levels of the JVM in each pod (seed 001).
type LoggingConfig struct {
	// defaultLoggerLevel is the level of the root logger.
	// +optional
	// +kubebuilder:default=INFO
	DefaultLoggerLevel LogLevel `json:"defaultLoggerLevel,omitempty"`

	// loggerLevels sets the level of single loggers by their name.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	LoggerLevels map[string]LogLevel `json:"loggerLevels,omitempty"`

	// file makes each pod write its log to this file as well as to its standard output (seed 000).
	// A relative path is taken below the mountPath of the shared volume; `$(POD_NAME)` in it becomes the pod's name.
	// Without `$(POD_NAME)` the pod's name is put before the file's name, so that pods never share a log.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	File string `json:"file,omitempty"`
}

// LogLevel is a level of Kafka Connect's logging.
// +kubebuilder:validation:Enum=OFF;FATAL;ERROR;WARN;INFO;DEBUG;TRACE;ALL
type LogLevel string

// Plugin is a Connect plugin that the runner image does not hold: an image volume, or an archive with its checksum.
// +kubebuilder:validation:XValidation:rule="has(self.image) != has(self.url)",message="a plugin needs either image or url, and not both"
// +kubebuilder:validation:XValidation:rule="!has(self.url) || has(self.sha512)",message="a plugin with url needs sha512, the checksum of the archive: compute it with sha512sum"
type Plugin struct {
	// name is the directory of the plugin below plugin.path.
	// +required
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// image is an OCI image or artifact that is mounted as an image volume (KEP-4639).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// url is where an archive (zip, tar.gz or jar) is downloaded from.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://`
	URL string `json:"url,omitempty"`

	// sha512 is the checksum of the archive in hexadecimal.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-f0-9]{128}$`
	SHA512 string `json:"sha512,omitempty"`
}

// StorageSpec asks for one volume that all pods share (seed 000).
// +kubebuilder:validation:XValidation:rule="has(self.existingClaim) || has(self.size)",message="storage.size is required, for example 10Gi, unless existingClaim names a claim"
// +kubebuilder:validation:XValidation:rule="!has(self.existingClaim) || !has(self.size) && !has(self.class)",message="storage.existingClaim excludes size and class: the claim has its own"
// +kubebuilder:validation:XValidation:rule="!has(self.size) || !quantity(self.size).isLessThan(quantity('1'))",message="storage.size must be positive, for example 10Gi"
// +kubebuilder:validation:XValidation:rule="!has(self.size) || !has(oldSelf.size) || !quantity(self.size).isLessThan(quantity(oldSelf.size))",message="storage.size may grow but not shrink: a volume cannot be made smaller without losing data"
// +kubebuilder:validation:XValidation:rule=`(has(self.class) ? self.class : "") == (has(oldSelf.class) ? oldSelf.class : "")`,message="storage.class cannot be changed: the data would stay behind on the old volume. Remove storage, move the data, and add it again with the new class"
// +kubebuilder:validation:XValidation:rule="self.accessMode == oldSelf.accessMode",message="storage.accessMode cannot be changed on an existing claim. Remove storage and add it again with the new mode"
type StorageSpec struct {
	// type is the kind of storage; persistent-claim is the only one.
	// +optional
	// +kubebuilder:default=persistent-claim
	// +kubebuilder:validation:Enum=persistent-claim
	Type string `json:"type,omitempty"`

	// size of the volume, for example 10Gi. It may grow where the class allows expansion, and never shrinks.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$`
	Size string `json:"size,omitempty"`

	// class is the StorageClass of the claim; the cluster's default class where it is left out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Class string `json:"class,omitempty"`

	// deleteClaim deletes the claim together with its owner. By default the claim, and so the data, is kept,
	// and is adopted again when the owner comes back.
	// +optional
	DeleteClaim bool `json:"deleteClaim,omitempty"`

	// mountPath is the directory at which every container sees the volume.
	// +optional
	// +kubebuilder:default=/var/lib/kafka/data
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && self != '/' && !self.contains(':') && !self.contains('..')",message="mountPath must be an absolute path below / without '..' or ':', for example /mnt/shared"
	// +kubebuilder:validation:XValidation:rule="!['/etc','/usr','/bin','/sbin','/lib','/lib64','/opt','/proc','/sys','/dev','/tmp','/var','/var/lib','/var/run','/run'].exists(p, self == p || self == p + '/') && !self.startsWith('/etc/weir') && !self.startsWith('/opt/weir') && !self.startsWith('/var/lib/weir')",message="mountPath would hide files that the image needs; choose a directory of its own, for example /mnt/shared"
	MountPath string `json:"mountPath,omitempty"`

	// accessMode of the claim. With ReadWriteOnce all pods are kept on one node; ReadOnlyMany mounts the volume read-only.
	// +optional
	// +kubebuilder:default=ReadWriteMany
	// +kubebuilder:validation:XValidation:rule="self != 'ReadWriteOncePod'",message="accessMode ReadWriteOncePod lets only one pod use the volume, and a connector has at least two; use ReadWriteMany or ReadWriteOnce"
	// +kubebuilder:validation:XValidation:rule="self in ['ReadWriteMany','ReadWriteOnce','ReadOnlyMany','ReadWriteOncePod']",message="accessMode must be ReadWriteMany, ReadWriteOnce or ReadOnlyMany"
	AccessMode corev1.PersistentVolumeAccessMode `json:"accessMode,omitempty"`

	// existingClaim names a claim of the same namespace that is used as it is and never changed.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ExistingClaim string `json:"existingClaim,omitempty"`

	// subPath is the directory of the volume that is mounted, for example `$(CONNECTOR_NAME)/$(POD_NAME)`.
	// CONNECTOR_NAME, POD_NAME and TASK_ID may be used in it; TASK_ID is `connector` in the connector's pod.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.contains('..')",message="subPath must be relative and without '..'"
	SubPath string `json:"subPath,omitempty"`

	// volumeAttributesClass of the claim (KEP-3751).
	// +optional
	// +kubebuilder:validation:MaxLength=253
	VolumeAttributesClass string `json:"volumeAttributesClass,omitempty"`

	// metadata is put on the claim.
	// +optional
	Metadata *TemplateMetadata `json:"metadata,omitempty"`
}

// TemplateSpec customizes the pods. `pod` and `container` hold for all of them (the form of seed 000);
// `connector` and `task` for one kind, over what holds for all.
type TemplateSpec struct {
	WorkloadTemplate `json:",inline"`

	// connector holds for the connector's pod only.
	// +optional
	Connector *WorkloadTemplate `json:"connector,omitempty"`

	// task holds for the tasks' pods only.
	// +optional
	Task *WorkloadTemplate `json:"task,omitempty"`
}

// WorkloadTemplate customizes the pods of one kind.
type WorkloadTemplate struct {
	// metadata is put on the pods.
	// +optional
	Metadata *TemplateMetadata `json:"metadata,omitempty"`

	// pod customizes the pod.
	// +optional
	Pod *PodTemplate `json:"pod,omitempty"`

	// container customizes the container that runs connect-runner.
	// +optional
	Container *ContainerTemplate `json:"container,omitempty"`
}

// TemplateMetadata is put on an object that is made.
type TemplateMetadata struct {
	// labels of the object; those that Weir itself needs cannot be overridden.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the object; those that Weir itself needs cannot be overridden.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PodTemplate customizes a pod; every field is the one of the same name in a core PodSpec.
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

	// terminationGracePeriodSeconds is how long a task has to flush and commit its offsets; 60 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// volumes are added to the pod.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Volumes []corev1.Volume `json:"volumes,omitempty"`
}

// ContainerTemplate customizes the container that runs connect-runner.
type ContainerTemplate struct {
	// env is added to the environment; the names that Weir itself sets cannot be overridden.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Env []corev1.EnvVar `json:"env,omitempty"`

	// volumeMounts are added to the container.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// jvmOptions are put on the JVM's command line after Weir's own, for example `-Xlog:gc*:file=/mnt/shared/gc-$(POD_NAME).log`.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	JVMOptions []string `json:"jvmOptions,omitempty"`
}
