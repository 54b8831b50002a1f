package v1alpha1

// Provisioner is the provisioner of StorageClasses whose claims volume-provisioner gives volumes without a
// KafkaLocalVolumeSet, on the node that the scheduler has chosen.
const Provisioner = "volume-provisioner.weir.dev"

// Parameters of a StorageClass with this provisioner.
const (
	// ParameterBasePath is the directory on each node that contains the volumes, as spec.basePath of a
	// KafkaLocalVolumeSet.
	ParameterBasePath = "basePath"
	// ParameterPathPattern is the directory of a volume below the base path, as spec.pathPattern of a KafkaLocalVolumeSet.
	// It must contain {namespace} and {claim}, and this is its default: {namespace}/{claim}.
	ParameterPathPattern = "pathPattern"
)

// EventProvisioningFailed is the reason of an event of a PersistentVolumeClaim: it has no volume yet.
const EventProvisioningFailed = "ProvisioningFailed"
