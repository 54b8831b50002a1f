package v1alpha1

// VolumeReason explains a condition of a KafkaLocalVolumeSet.
type VolumeReason string

// Reasons of the conditions of a KafkaLocalVolumeSet. Ready has the reason of the condition that makes it False.
const (
	// ReasonVolumesReady: all volumes are available or bound.
	ReasonVolumesReady VolumeReason = "VolumesReady"
	// ReasonAllPlaced: every replica has a node.
	ReasonAllPlaced VolumeReason = "AllPlaced"
	// ReasonDirectoriesReady: the agents have prepared all directories.
	ReasonDirectoriesReady VolumeReason = "DirectoriesReady"
	// ReasonCapacityReserved: the file systems have room for all reserved sizes.
	ReasonCapacityReserved VolumeReason = "CapacityReserved"
	// ReasonNodesExist: the Node of every replica exists.
	ReasonNodesExist VolumeReason = "NodesExist"
	// ReasonNoConflict: no directory, claim or PersistentVolume is used by something else.
	ReasonNoConflict VolumeReason = "NoConflict"
	// ReasonClaimsMatch: every claim fits its PersistentVolume.
	ReasonClaimsMatch VolumeReason = "ClaimsMatch"

	// ReasonInvalidSpec: a field of the spec has a value that cannot be used. Volumes that exist do not change.
	ReasonInvalidSpec VolumeReason = "InvalidSpec"
	// ReasonBasePathNotAllowed: the flag --allowed-base-paths of the controller or of an agent does not list
	// spec.basePath.
	ReasonBasePathNotAllowed VolumeReason = "BasePathNotAllowed"
	// ReasonNoNodeMatches: spec.nodes selects no node that runs the agent.
	ReasonNoNodeMatches VolumeReason = "NoNodeMatches"
	// ReasonNoNodeFits: the selected nodes cannot be used, for example because they are cordoned or full.
	ReasonNoNodeFits VolumeReason = "NoNodeFits"
	// ReasonWaitingForAgents: an agent has not reported the file system of spec.basePath yet.
	ReasonWaitingForAgents VolumeReason = "WaitingForAgents"
	// ReasonInsufficientCapacity: no file system has room for a new or larger volume.
	ReasonInsufficientCapacity VolumeReason = "InsufficientCapacity"
	// ReasonOvercommitted: a file system is smaller than the sizes that are reserved on it.
	ReasonOvercommitted VolumeReason = "Overcommitted"
	// ReasonFileSystemFull: a file system with volumes of the set has almost no free space.
	ReasonFileSystemFull VolumeReason = "FileSystemFull"
	// ReasonDirectoriesPending: an agent has not prepared a directory yet.
	ReasonDirectoriesPending VolumeReason = "DirectoriesPending"
	// ReasonDirectoryFailed: a directory or its file system has an error.
	ReasonDirectoryFailed VolumeReason = "DirectoryFailed"
	// ReasonVolumePending: a PersistentVolume does not exist yet, its claim was deleted and it is not available yet, or a
	// pod uses a claim that is being deleted.
	ReasonVolumePending VolumeReason = "VolumePending"
	// ReasonNodeDeleted: the Node of a replica does not exist.
	ReasonNodeDeleted VolumeReason = "NodeDeleted"
	// ReasonClaimInUse: another set has a volume for the same claim.
	ReasonClaimInUse VolumeReason = "ClaimInUse"
	// ReasonPathInUse: another set has a volume with the same directory, or one directory contains the other.
	ReasonPathInUse VolumeReason = "PathInUse"
	// ReasonVolumeConflict: a PersistentVolume for the claim exists and differs from the one that the set describes.
	ReasonVolumeConflict VolumeReason = "VolumeConflict"
	// ReasonDirectoryConflict: the directory belongs to something else.
	ReasonDirectoryConflict VolumeReason = "DirectoryConflict"
	// ReasonClassDiffers: a claim has another StorageClass than the set.
	ReasonClassDiffers VolumeReason = "ClassDiffers"
	// ReasonSizeTooLarge: a claim requests more than the size of the volume.
	ReasonSizeTooLarge VolumeReason = "SizeTooLarge"
	// ReasonAccessModesDiffer: a claim requests an access mode that the volume does not have.
	ReasonAccessModesDiffer VolumeReason = "AccessModesDiffer"
	// ReasonBoundElsewhere: a claim is bound to another PersistentVolume.
	ReasonBoundElsewhere VolumeReason = "BoundElsewhere"
)

// Reasons of the events of a KafkaLocalVolumeSet.
const (
	// EventVolumeCreated: a PersistentVolume was created.
	EventVolumeCreated = "VolumeCreated"
	// EventVolumeAdopted: a PersistentVolume that was made by hand is managed now.
	EventVolumeAdopted = "VolumeAdopted"
	// EventVolumeReleased: the claim of a PersistentVolume was deleted; the PersistentVolume is available for the claim
	// again.
	EventVolumeReleased = "VolumeReleased"
	// EventVolumeRestored: another client changed a PersistentVolume; the change was undone.
	EventVolumeRestored = "VolumeRestored"
	// EventVolumeExpanded: the size of a PersistentVolume grew.
	EventVolumeExpanded = "VolumeExpanded"
	// EventVolumeMoved: the node of a volume was renamed; its PersistentVolume is created again.
	EventVolumeMoved = "VolumeMoved"
)

// Annotations on PersistentVolumes of volume-provisioner.
const (
	// AnnotationVolume has the namespace and the name of the claim that the PersistentVolume is for.
	AnnotationVolume = "storage.weir.dev/volume"
	// AnnotationSet has the name of the KafkaLocalVolumeSet.
	AnnotationSet = "storage.weir.dev/set"
	// AnnotationNode has the name of the node.
	AnnotationNode = "storage.weir.dev/node"
	// AnnotationRebinds counts how often the PersistentVolume was made available again after its claim was deleted.
	AnnotationRebinds = "storage.weir.dev/rebinds"
	// AnnotationAllowReuse allows with spec.reusePolicy Manual that a new claim binds. Its value is the uid of the deleted
	// claim. Users set it.
	AnnotationAllowReuse = "storage.weir.dev/allow-reuse"
)
