package decidetest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// stepAgents writes the specs of all LocalVolumeNodes and lets the agents do their work.
func (w *World) stepAgents() (changed bool) {
	sets := w.allSets()
	for _, name := range slices.Sorted(maps.Keys(w.Agents)) {
		agent := w.Agents[name].DeepCopy()
		agent.Spec = decide.Node(w.nodeState(agent, sets))
		if w.Nodes[name] != nil {
			w.work(agent)
		}
		changed = changed || !equality.Semantic.DeepEqual(agent, w.Agents[name])
		w.Agents[name] = agent
	}
	return changed
}

func (w *World) nodeState(
	agent *storagev1alpha1.LocalVolumeNode, sets []*storagev1alpha1.KafkaLocalVolumeSet,
) *decide.NodeState {
	return &decide.NodeState{
		Agent: agent, Node: w.Nodes[agent.Name], Sets: sets, Selecting: sets, Wipes: w.Wipes, Settings: w.Settings,
		BasePaths: []string{Class.BasePath},
		HasVolume: func(namespace, claim string) bool {
			for _, pv := range w.PVs {
				if ref := pv.Spec.ClaimRef; ref != nil && ref.Namespace == namespace && ref.Name == claim &&
					decide.OnNode(pv, agent.Name) {
					return true
				}
			}
			return false
		},
	}
}

// work does what the agent does on its node.
func (w *World) work(agent *storagev1alpha1.LocalVolumeNode) {
	machine := agent.Status.MachineID
	disk := w.Disks[machine]
	status := storagev1alpha1.LocalVolumeNodeStatus{MachineID: machine}
	for _, base := range agent.Spec.BasePaths {
		fs := storagev1alpha1.FileSystemStatus{
			BasePath: base, State: storagev1alpha1.FileSystemReady, ID: "fs-" + machine, CapacityBytes: 100 << 30,
			AvailableBytes: 100 << 30,
		}
		for _, old := range agent.Status.FileSystems {
			if old.BasePath == base {
				fs = old
			}
		}
		status.FileSystems = append(status.FileSystems, fs)
	}
	requested := map[string]bool{}
	for _, d := range agent.Spec.Directories {
		path := spec.Join(d.BasePath, d.Path)
		requested[path] = true
		marker, exists := disk[path]
		result := storagev1alpha1.DirectoryStatus{ID: d.ID, FileSystem: "fs-" + machine}
		switch {
		case !exists && !d.Create:
			result.State = storagev1alpha1.DirectoryMissing
		case !exists || marker.ID == "" && d.Adopt:
			marker = storagev1alpha1.DirectoryMarker{
				ID: d.ID, SetName: d.SetName, SetUID: d.SetUID, Ordinal: d.Ordinal, MachineID: machine,
				FileSystem: "fs-" + machine,
			}
			disk[path] = marker
			result.State = storagev1alpha1.DirectoryReady
		case marker.ID == "":
			result.State = storagev1alpha1.DirectoryUnmarked
		case marker.ID != d.ID || marker.SetName != d.SetName:
			result.State = storagev1alpha1.DirectoryConflict
		default:
			result.State = storagev1alpha1.DirectoryReady
		}
		if marker.ID != "" {
			result.Marker = &marker
		}
		status.Directories = append(status.Directories, result)
	}
	for _, path := range slices.Sorted(maps.Keys(disk)) {
		for _, base := range agent.Spec.BasePaths {
			if !requested[path] && strings.HasPrefix(path, base+"/") && disk[path].ID != "" {
				status.Found = append(status.Found, storagev1alpha1.FoundDirectory{
					BasePath: base, Path: strings.TrimPrefix(path, base+"/"), Marker: disk[path], FileSystem: "fs-" + machine,
				})
			}
		}
	}
	for _, wipe := range agent.Spec.Wipes {
		delete(disk, spec.Join(wipe.BasePath, wipe.Path))
		status.Wipes = append(status.Wipes, storagev1alpha1.WipeStatus{ID: wipe.ID, State: storagev1alpha1.WipeDone})
	}
	agent.Status = status
}

// AddWipe adds a VolumeWipe in the namespace default.
func (w *World) AddWipe(pv string, uid types.UID, path string) *storagev1alpha1.VolumeWipe {
	wipe := &storagev1alpha1.VolumeWipe{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: string(w.uid()), UID: w.uid()},
		Spec:       storagev1alpha1.VolumeWipeSpec{PV: pv, PVUID: uid, Path: path},
	}
	w.Wipes = append(w.Wipes, wipe)
	return wipe
}

// SettleWipes runs rounds with the VolumeWipes until nothing changes.
func (w *World) SettleWipes(t testing.TB) {
	t.Helper()
	for range 20 {
		changed := false
		for _, wipe := range w.Wipes {
			pv := w.PVs[wipe.Spec.PV]
			s := &decide.WipeState{Wipe: wipe, Volume: pv, Now: metav1.NewTime(Now)}
			node := wipe.Status.Node
			if pv != nil {
				node = cmp.Or(node, pv.Annotations[storagev1alpha1.AnnotationNode])
				s.Claim = w.Claims[spec.ID(pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name)]
			}
			s.Agent = w.Agents[node]
			plan := decide.Wipe(s)
			changed = changed || plan.Delete != nil || !equality.Semantic.DeepEqual(plan.Status, wipe.Status)
			wipe.Status = plan.Status
			if plan.Delete != nil {
				delete(w.PVs, plan.Delete.Name)
			}
		}
		w.Bind()
		if !w.Step(t) && !changed {
			return
		}
	}
	t.Fatal("the plans do not become empty")
}
