package decide

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// checkFileSystems reports the file systems of placed volumes that are full, or smaller than what is reserved on them:
// sizes are not enforced without quota, a file system can shrink, and an adopted volume is where it is.
func (d *decision) checkFileSystems(volumes []spec.Volume) {
	checked := map[string]bool{}
	for _, v := range volumes {
		node := d.byClaim[v.Claim].Node
		if node == "" || checked[node] || d.s.Nodes[node] == nil {
			continue
		}
		checked[node] = true
		fs := observed.FileSystem(d.s.Agents[node], v.BasePath)
		if fs == nil || fs.State != storagev1alpha1.FileSystemReady || fs.CapacityBytes == 0 {
			continue
		}
		if reserved := d.placer.Reserved(node); reserved > fs.CapacityBytes {
			d.report.Capacity(storagev1alpha1.ReasonOvercommitted, fmt.Sprintf(
				"%s on node %s has %s, and its volumes have %s together; enlarge the file system, or wipe volumes that are not "+
					"used", v.BasePath, node, quantity(fs.CapacityBytes), quantity(reserved)))
		}
		if disk.Full(fs.AvailableBytes, fs.CapacityBytes) {
			d.report.Capacity(storagev1alpha1.ReasonFileSystemFull, fmt.Sprintf(
				"%s on node %s has less than %d %% free space; reduce the retention of topics, or enlarge the file system",
				v.BasePath, node, disk.FullPercent))
		}
	}
}

func quantity(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }
