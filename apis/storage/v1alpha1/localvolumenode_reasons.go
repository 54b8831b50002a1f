package v1alpha1

// LocalVolumeNodeReason is a reason of the condition Ready of a LocalVolumeNode.
type LocalVolumeNodeReason string

// Reasons of the condition Ready of a LocalVolumeNode.
const (
	// NodeReasonReady: all file systems and directories are ready.
	NodeReasonReady LocalVolumeNodeReason = "DirectoriesReady"
	// NodeReasonFileSystem: a base path cannot be used. Its message says what to do.
	NodeReasonFileSystem LocalVolumeNodeReason = "FileSystemNotReady"
	// NodeReasonDirectory: a directory is not ready. Its message says what to do.
	NodeReasonDirectory LocalVolumeNodeReason = "DirectoryNotReady"
	// NodeReasonWipe: the directory of a VolumeWipe could not be deleted. Its message says what to do.
	NodeReasonWipe LocalVolumeNodeReason = "WipeFailed"
)
