package adopt_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/adopt"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// pv returns a PersistentVolume as it is written by hand for the Confluent chart.
func pv(claim, node string, changes ...func(*corev1.PersistentVolume)) corev1.PersistentVolume {
	p := corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: claim},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef:                      &corev1.ObjectReference{Name: claim, Namespace: "default"},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")},
			VolumeMode:                    new(corev1.PersistentVolumeFilesystem),
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadWriteMany},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: "local-storage",
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: "/mnt/data/" + claim},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
				}}}},
			}},
		},
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func confluent(node func(ordinal int) string) []corev1.PersistentVolume {
	var pvs []corev1.PersistentVolume
	for _, claim := range []string{
		"datadir-0-cp-helm-charts-cp-kafka", "datadir-cp-helm-charts-cp-zookeeper", "datalogdir-cp-helm-charts-cp-zookeeper",
	} {
		for i := range 3 {
			pvs = append(pvs, pv(fmt.Sprintf("%s-%d", claim, i), node(i)))
		}
	}
	return pvs
}

// requireYield requires that the sets yield exactly the PersistentVolumes, except for labels and annotations.
func requireYield(t *testing.T, sets []storagev1alpha1.KafkaLocalVolumeSet, pvs []corev1.PersistentVolume) {
	t.Helper()
	built := map[string]corev1.PersistentVolumeSpec{}
	for i := range sets {
		set := &sets[i]
		for _, v := range spec.Volumes(set) {
			name := ""
			if n := set.Spec.Nodes; n.List != nil {
				name = n.List[0]
			} else {
				name = n.PerReplica[v.Ordinal]
			}
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
				Name: name, Labels: map[string]string{set.Spec.NodeAffinityKey: name},
			}}
			built[v.ID()] = volumes.Build(set, v, v.Claim, node, v.Bytes()).Spec
		}
	}
	require.Len(t, built, len(pvs))
	for _, p := range pvs {
		want, got := p.Spec, built[spec.ID(p.Spec.ClaimRef.Namespace, p.Spec.ClaimRef.Name)]
		require.Equal(t, want.Local, got.Local, p.Name)
		require.Equal(t, want.NodeAffinity, got.NodeAffinity, p.Name)
		require.Equal(t, want.AccessModes, got.AccessModes, p.Name)
		require.Equal(t, want.StorageClassName, got.StorageClassName, p.Name)
		require.Equal(t, want.MountOptions, got.MountOptions, p.Name)
		require.Equal(t, want.VolumeMode, got.VolumeMode, p.Name)
		require.Equal(t, want.ClaimRef.Name, got.ClaimRef.Name)
		require.Equal(t, want.ClaimRef.Namespace, got.ClaimRef.Namespace)
		require.True(t, want.Capacity.Storage().Equal(*got.Capacity.Storage()), p.Name)
	}
}

func TestSetsYieldThePersistentVolumes(t *testing.T) {
	t.Parallel()
	size := func(s string) func(*corev1.PersistentVolume) {
		return func(p *corev1.PersistentVolume) { p.Spec.Capacity[corev1.ResourceStorage] = resource.MustParse(s) }
	}
	class := func(p *corev1.PersistentVolume) { p.Spec.StorageClassName = "fast" }
	for name, c := range map[string]struct {
		pvs  []corev1.PersistentVolume
		sets int
	}{
		"confluent-one-node":    {confluent(func(int) string { return "pc" }), 1},
		"confluent-three-nodes": {confluent(func(i int) string { return fmt.Sprint("node-", i) }), 1},
		"two-sizes":             {[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("logs-a-0", "n", size("1Gi"))}, 1},
		"two-classes":           {[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("logs-a-0", "n", class)}, 2},
		"two-nodes":             {[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("data-b-0", "m")}, 2},
		"two-replica-counts": {[]corev1.PersistentVolume{
			pv("data-a-0", "n"), pv("data-b-1", "n"), pv("data-b-0", "n"),
		}, 2},
		"path-pattern": {[]corev1.PersistentVolume{pv("data-a-0", "n", func(p *corev1.PersistentVolume) {
			p.Spec.Local.Path = "/opt/local-path-provisioner/default/data-a-0/kafka"
			p.Spec.MountOptions = []string{"noatime"}
		})}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sets, notes, err := adopt.Sets(c.pvs)
			require.NoError(t, err)
			require.Empty(t, notes)
			require.Len(t, sets, c.sets)
			requireYield(t, sets, c.pvs)
			objects := make([]any, len(sets))
			for i := range sets {
				objects[i] = sets[i]
			}
			testkit.Golden(t, "testdata/"+name+".yaml", objects...)
		})
	}
}

func TestWhatASetCannotExpressIsNamed(t *testing.T) {
	t.Parallel()
	change := func(f func(*corev1.PersistentVolumeSpec)) []corev1.PersistentVolume {
		return []corev1.PersistentVolume{pv("data-a-0", "n", func(p *corev1.PersistentVolume) { f(&p.Spec) })}
	}
	for name, c := range map[string]struct {
		pvs  []corev1.PersistentVolume
		want string
	}{
		"nothing": {nil, "there are no PersistentVolumes"},
		"block": {change(func(s *corev1.PersistentVolumeSpec) {
			s.VolumeMode = new(corev1.PersistentVolumeBlock)
		}), "PersistentVolume data-a-0: spec.volumeMode is Block"},
		"no claim": {change(func(s *corev1.PersistentVolumeSpec) { s.ClaimRef = nil }), "spec.claimRef is missing"},
		"no ordinal": {change(func(s *corev1.PersistentVolumeSpec) {
			s.ClaimRef.Name = "data"
		}), "spec.claimRef.name data does not end with -<ordinal>"},
		"no class": {change(func(s *corev1.PersistentVolumeSpec) {
			s.StorageClassName = ""
		}), "spec.storageClassName is empty"},
		"no size": {change(func(s *corev1.PersistentVolumeSpec) {
			s.Capacity = nil
		}), "spec.capacity.storage 0 must be greater"},
		"no modes": {change(func(s *corev1.PersistentVolumeSpec) { s.AccessModes = nil }), "spec.accessModes is empty"},
		"NFS": {change(func(s *corev1.PersistentVolumeSpec) {
			s.Local = nil
			s.NFS = &corev1.NFSVolumeSource{}
		}), "spec has neither local nor hostPath"},
		"fsType": {change(func(s *corev1.PersistentVolumeSpec) {
			s.Local.FSType = new("ext4")
		}), "spec.local.fsType is ext4"},
		"no affinity": {change(func(s *corev1.PersistentVolumeSpec) {
			s.NodeAffinity = nil
		}), "spec.nodeAffinity.required is missing"},
		"two nodes": {change(func(s *corev1.PersistentVolumeSpec) {
			e := &s.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]
			e.Values = append(e.Values, "m")
		}), "has kubernetes.io/hostname In [n m]"},
		"a path without the claim": {change(func(s *corev1.PersistentVolumeSpec) {
			s.Local.Path = "/mnt/disks/vol1"
		}), "path /mnt/disks/vol1 does not contain the name of the claim data-a-0"},
		"a path in the root": {change(func(s *corev1.PersistentVolumeSpec) {
			s.Local.Path = "/data-a-0"
		}), "in a directory other than /"},
		"a path of local-path": {change(func(s *corev1.PersistentVolumeSpec) {
			s.Local.Path = "/opt/local-path-provisioner/pvc-0b1f0a6e-5a0e-4c0a-9a53-6a2f2b1f0a6e_default_data-a-0"
		}), "rename the directory on node n to /opt/local-path-provisioner/data-a-0"},
		"a missing ordinal": {
			[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("data-a-2", "n")},
			"PersistentVolume data-a-2: spec.claimRef.name data-a-2 has ordinal 2",
		},
		"another size": {[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("data-a-1", "n", func(p *corev1.PersistentVolume) {
			p.Spec.Capacity[corev1.ResourceStorage] = resource.MustParse("6Gi")
		})}, "spec.capacity.storage 6Gi differs from 5Gi of PersistentVolume data-a-0"},
		"other modes": {[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("data-a-1", "n", func(p *corev1.PersistentVolume) {
			p.Spec.AccessModes = p.Spec.AccessModes[:1]
		})}, "spec.accessModes [ReadWriteOnce] differ"},
		"one claim twice": {
			[]corev1.PersistentVolume{pv("data-a-0", "n"), pv("data-a-0", "n")},
			"names claim default/data-a-0, which PersistentVolume data-a-0 names too",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sets, _, err := adopt.Sets(c.pvs)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, sets)
		})
	}
}

func TestStepsBeforeAdoptionAreNamed(t *testing.T) {
	t.Parallel()
	dynamic := pv("data-a-0", "n", func(p *corev1.PersistentVolume) {
		p.Name = "pvc-1"
		p.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		p.Spec.Local = nil
		p.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/opt/local-path-provisioner/default/data-a-0"}
	})
	sets, notes, err := adopt.Sets([]corev1.PersistentVolume{dynamic})
	require.NoError(t, err)
	require.Equal(t, "/opt/local-path-provisioner/default", sets[0].Spec.BasePath)
	require.Len(t, notes, 2)
	require.Contains(t, notes[0], `kubectl patch pv pvc-1 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`)
	require.Contains(t, notes[1], "delete the claim default/data-a-0 and then PersistentVolume pvc-1")
}

func FuzzSets(f *testing.F) {
	f.Add("data-a-0", "/mnt/data/data-a-0", "n", uint8(3))
	f.Add("0-0", "/0-0/0-0", "", uint8(0))
	f.Fuzz(func(t *testing.T, claim, path, node string, n uint8) {
		var pvs []corev1.PersistentVolume
		for i := range n % 4 {
			pvs = append(pvs, pv(fmt.Sprintf("%s-%d", claim, i), node, func(p *corev1.PersistentVolume) {
				p.Spec.Local.Path = fmt.Sprintf("%s-%d", path, i)
			}))
		}
		sets, _, err := adopt.Sets(pvs)
		if err == nil {
			requireYield(t, sets, pvs)
		}
	})
}
