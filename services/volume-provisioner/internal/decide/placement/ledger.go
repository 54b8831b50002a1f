package placement

import (
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Ledger has the reserved bytes of each file system: the sizes of the volumes of all sets, and of directories whose set
// was deleted.
type Ledger map[fileSystem]int64

// fileSystem identifies a file system. Base paths can share one.
type fileSystem struct{ node, id string }

// NewLedger returns the reservations of all nodes.
func NewLedger(s *observed.State) Ledger {
	l := Ledger{}
	type volume struct{ node, id string }
	counted := map[volume]bool{}
	for _, set := range append([]*storagev1alpha1.KafkaLocalVolumeSet{s.Set}, s.Others...) {
		for _, v := range set.Status.Volumes {
			if v.Node != "" {
				counted[volume{v.Node, spec.ID(set.Namespace, v.Claim)}] = true
				l.reserve(s.Agents[v.Node], set.Spec.BasePath, v.Bytes)
			}
		}
	}
	for name, agent := range s.Agents {
		for _, d := range agent.Spec.Directories {
			if !counted[volume{name, d.ID}] {
				l.reserve(agent, d.BasePath, d.Bytes)
			}
		}
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
