package placement

import (
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
)

// Ledger has the reserved bytes of each file system.
type Ledger map[fileSystem]int64

// fileSystem identifies a file system. Base paths can share one.
type fileSystem struct{ node, id string }

// NewLedger returns the reservations of the file systems that agents report.
func NewLedger(reserved observed.Reserved, agents map[string]*storagev1alpha1.LocalVolumeNode) Ledger {
	l := make(Ledger, len(reserved))
	for base, bytes := range reserved {
		l.reserve(agents[base.Node], base.Path, bytes)
	}
	return l
}

func key(agent *storagev1alpha1.LocalVolumeNode, basePath string) fileSystem {
	if fs := observed.FileSystem(agent, basePath); fs != nil && fs.ID != "" {
		return fileSystem{agent.Name, fs.ID}
	}
	return fileSystem{agent.Name, basePath}
}

func (l Ledger) reserve(agent *storagev1alpha1.LocalVolumeNode, basePath string, bytes int64) {
	if agent != nil {
		l[key(agent, basePath)] += bytes
	}
}

// Reserved returns the reserved bytes of the file system of a base path.
func (l Ledger) Reserved(agent *storagev1alpha1.LocalVolumeNode, basePath string) int64 {
	return l[key(agent, basePath)]
}

// room returns the bytes that are not reserved. It is negative if the file system is overcommitted.
func (l Ledger) room(agent *storagev1alpha1.LocalVolumeNode, basePath string, reservedPercent *int32) int64 {
	fs := observed.FileSystem(agent, basePath)
	if fs == nil {
		return 0
	}
	percent := int64(10)
	if reservedPercent != nil {
		percent = int64(*reservedPercent)
	}
	return fs.CapacityBytes/100*(100-percent) - l[key(agent, basePath)]
}
