package decide_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

// FuzzSets runs random operations of users and administrators. After each the plans become empty, no data is lost, no
// directory belongs to two claims, and no claim has two directories.
func FuzzSets(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{0, 20, 3, 30, 4, 50, 5, 70, 11, 90, 2, 9, 8, 7, 3, 3, 3})
	f.Add([]byte{0, 13, 26, 39, 3, 16, 29, 4, 17, 30, 7, 7, 0, 9, 9, 3})
	f.Add([]byte{13, 28, 14, 13, 43, 10, 14, 13, 12, 29, 28, 10, 10, 11, 14, 13})
	f.Fuzz(func(t *testing.T, operations []byte) {
		w := decidetest.New("a", "b")
		owners := map[string]string{} // of directories
		for i, operation := range operations[:min(len(operations), 40)] {
			operate(t, w, int(operation), i)
			w.Settle(t)
			places := map[string]string{}
			for disk, directories := range w.Disks {
				for path, marker := range directories {
					at := disk + path
					require.True(t, owners[at] == "" || owners[at] == marker.ID, "directory %s changes its owner", at)
					owners[at] = marker.ID
					require.Empty(t, places[marker.ID], "volume %s has two directories", marker.ID)
					places[marker.ID] = at
				}
			}
			for at := range owners {
				require.Contains(t, slices.Collect(maps.Values(places)), at, "a directory was deleted")
			}
			for _, pv := range w.PVs {
				id := pv.Spec.ClaimRef.Namespace + "/" + pv.Spec.ClaimRef.Name
				require.True(t, strings.HasSuffix(places[id], pv.Spec.Local.Path),
					"PersistentVolume %s has %s, its claim has %s", pv.Name, pv.Spec.Local.Path, places[id])
			}
		}
	})
}

func operate(t *testing.T, w *decidetest.World, operation, i int) {
	const operations = 15
	variant := operation / operations
	namespace, name := []string{"default", "other"}[variant%2], fmt.Sprintf("s%d", variant%3)
	set := w.Sets[namespace+"/"+name]
	claim, ofClass := fmt.Sprintf("data-%d", variant%4), fmt.Sprintf("class-%d", variant%4)
	switch operation % operations {
	case 0:
		if set == nil {
			w.AddSet(t, fmt.Sprintf("metadata: {name: %s, namespace: %s}\nspec:\n  replicas: %d\n  basePath: /mnt/data\n"+
				"  pathPattern: %q\n  templates: [{name: d, claimNamePattern: \"data-{ordinal}\", size: 10Gi}]",
				name, namespace, variant%4, []string{"{claim}", "{namespace}/{claim}"}[variant/2%2]))
		}
	case 1, 2:
		if set != nil {
			set.Spec.Replicas = int32(variant % 5)
		}
	case 3:
		if w.Claims[namespace+"/"+claim] == nil {
			w.Claim(namespace, claim, "10Gi")
		}
	case 4:
		if w.Claims[namespace+"/"+claim] != nil {
			w.DeleteClaim(namespace, claim)
		}
	case 5:
		if set != nil {
			set.Spec.Templates[0].Size = *resource.NewQuantity(int64(variant)<<30, resource.BinarySI)
		}
	case 6:
		w.AddNode(fmt.Sprintf("n%d", i), fmt.Sprintf("machine-%d", i))
	case 7:
		delete(w.Sets, namespace+"/"+name)
	case 8:
		for node := range w.Nodes {
			w.Nodes[node].Spec.Unschedulable = variant%2 == 0
		}
	case 9:
		if set != nil {
			set.Status = storagev1alpha1.KafkaLocalVolumeSetStatus{}
		}
	case 10:
		node := slices.Sorted(maps.Keys(w.Nodes))[0]
		machine := w.Agents[node].Status.MachineID
		delete(w.Nodes, node)
		w.Settle(t)
		w.AddNode(fmt.Sprintf("renamed-%d", i), machine)
	case 11:
		for key, pv := range w.PVs {
			edited := pv.DeepCopy()
			edited.Labels = map[string]string{"app.kubernetes.io/managed-by": "volume-provisioner"}
			edited.Spec.StorageClassName = "x"
			w.PVs[key] = edited
		}
	case 12:
		for key, pv := range w.PVs {
			if pv.Status.Phase == "Available" {
				delete(w.PVs, key)
			}
		}
	case 13:
		if w.Claims[namespace+"/"+ofClass] == nil {
			nodes := slices.Sorted(maps.Keys(w.Nodes))
			w.ClassClaim(namespace, ofClass, "10Gi", nodes[variant%len(nodes)])
		}
	case 14:
		if w.Claims[namespace+"/"+ofClass] != nil {
			w.DeleteClaim(namespace, ofClass)
		}
	}
}
