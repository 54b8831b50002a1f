package v1alpha1

// StorageReason explains a condition of a KadaluStorage.
type StorageReason string

// Reasons of the conditions of a KadaluStorage. Ready has the reason of the condition that makes it False.
const (
	// ReasonStorageReady: volumes can be provisioned.
	ReasonStorageReady StorageReason = "StorageReady"
	// ReasonMounted: a host serves the volume, and it is mounted.
	ReasonMounted StorageReason = "Mounted"
	// ReasonSupported: the type and the options of the volume are supported.
	ReasonSupported StorageReason = "Supported"

	// ReasonInvalidStorage: a field of the spec has a value that cannot be used.
	ReasonInvalidStorage StorageReason = "InvalidStorage"
	// ReasonNameConflict: the StorageClass belongs to a storage in another namespace, or to another program.
	ReasonNameConflict StorageReason = "NameConflict"
	// ReasonKadaluOperator: kadalu's operator handles the same storage.
	ReasonKadaluOperator StorageReason = "KadaluOperator"
	// ReasonNotProbed: the volume has not been mounted yet.
	ReasonNotProbed StorageReason = "NotProbed"
	// ReasonMountFailed: the volume cannot be mounted, or it does not answer.
	ReasonMountFailed StorageReason = "MountFailed"
	// ReasonDistributed: the volume is distributed and kadalu-format is true.
	ReasonDistributed StorageReason = "Distributed"
	// ReasonSharded: the volume is sharded and kadalu-format is true.
	ReasonSharded StorageReason = "Sharded"
	// ReasonVersionNotSupported: the GlusterFS client is older than version 6.
	ReasonVersionNotSupported StorageReason = "VersionNotSupported"
	// ReasonVolumesExist: the storage is being deleted, and PersistentVolumes use it.
	ReasonVolumesExist StorageReason = "VolumesExist"
	// ReasonAllEnforced: the sizes of all persistent volumes are enforced.
	ReasonAllEnforced StorageReason = "AllEnforced"
	// ReasonNotAllEnforced: the size of at least one persistent volume is not enforced. The message names it.
	ReasonNotAllEnforced StorageReason = "NotAllEnforced"
	// ReasonQuotaUnmanaged: no quotad limits the sizes.
	ReasonQuotaUnmanaged StorageReason = "QuotaUnmanaged"
)

// Reasons of events about a KadaluStorage.
const (
	// EventMetadataRestored: the metadata of a volume was missing or damaged and was written again from its GlusterVolume.
	EventMetadataRestored = "MetadataRestored"
	// EventVolumeAdopted: a volume of kadalu got a project id and a GlusterVolume.
	EventVolumeAdopted = "VolumeAdopted"
)
