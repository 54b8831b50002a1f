package reconcile

import (
	"cmp"
	"slices"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
)

// allAgents returns the LocalVolumeNodes, by name.
func (c *caches) allAgents() []*storagev1alpha1.LocalVolumeNode {
	agents := cacheutil.List[*storagev1alpha1.LocalVolumeNode](c.agents)
	slices.SortFunc(agents, func(a, b *storagev1alpha1.LocalVolumeNode) int { return cmp.Compare(a.Name, b.Name) })
	return agents
}
