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

// NewLedger returns the reservations of some nodes, or of all nodes if nodes is nil.
func NewLedger(s *observed.State, nodes map[string]bool) Ledger {
	l := Ledger{}
	type volume struct{ node, namespace, claim string }
	counted := map[volume]bool{}
	count := func(set *storagev1alpha1.KafkaLocalVolumeSet) {
		for i := range set.Status.Volumes {
			if v := &set.Status.Volumes[i]; v.Node != "" && (nodes == nil || nodes[v.Node]) {
				counted[volume{v.Node, set.Namespace, v.Claim}] = true
				l.reserve(s.Agents[v.Node], set.Spec.BasePath, v.Bytes)
			}
		}
	}
	count(s.Set)
	for _, set := range s.Sharing {
		count(set)
	}
	for name, agent := range s.Agents {
		if nodes != nil && !nodes[name] {
			continue
		}
		for i := range agent.Spec.Directories {
			d := &agent.Spec.Directories[i]
			if namespace, claim := spec.Split(d.ID); !counted[volume{name, namespace, claim}] {
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
