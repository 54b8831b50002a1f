// Package decidetest simulates a cluster for tests of the decisions: it applies plans, and does what the agents and the
// binder of Kubernetes do.
package decidetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Now is the time of all decisions.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// World is a simulated cluster.
type World struct {
	Sets   map[string]*storagev1alpha1.KafkaLocalVolumeSet
	Nodes  map[string]*corev1.Node
	Agents map[string]*storagev1alpha1.LocalVolumeNode
	PVs    map[string]*corev1.PersistentVolume
	Claims map[string]*corev1.PersistentVolumeClaim // by namespace/name
	Pods   map[string][]*corev1.Pod                 // by namespace/claim
	Wipes  []*storagev1alpha1.VolumeWipe
	// Disks has the directories of each node and their markers, by absolute path. It outlives all objects.
	Disks map[string]map[string]storagev1alpha1.DirectoryMarker

	// Problems are those of the claims of Class, by namespace/name.
	Problems map[string]string

	Settings   spec.Settings
	Expandable bool
	// Later is the time since Now.
	Later time.Duration
	uids  int
}

// New returns a cluster with nodes of 100Gi.
func New(nodes ...string) *World {
	w := &World{
		Sets: map[string]*storagev1alpha1.KafkaLocalVolumeSet{}, Nodes: map[string]*corev1.Node{},
		Agents: map[string]*storagev1alpha1.LocalVolumeNode{}, PVs: map[string]*corev1.PersistentVolume{},
		Claims: map[string]*corev1.PersistentVolumeClaim{}, Pods: map[string][]*corev1.Pod{},
		Disks:    map[string]map[string]storagev1alpha1.DirectoryMarker{},
		Problems: map[string]string{},
		Settings: spec.Settings{AllowedBasePaths: []string{"/mnt/data"}}, Expandable: true,
	}
	for _, name := range nodes {
		w.AddNode(name, "machine-"+name)
	}
	return w
}

// AddNode adds a node whose disk is that of a machine.
func (w *World) AddNode(name, machine string) {
	w.Nodes[name] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: w.uid(), Labels: map[string]string{corev1.LabelHostname: name},
	}}
	w.Agents[name] = &storagev1alpha1.LocalVolumeNode{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: w.uid()},
		Status:     storagev1alpha1.LocalVolumeNodeStatus{MachineID: machine},
	}
	if w.Disks[machine] == nil {
		w.Disks[machine] = map[string]storagev1alpha1.DirectoryMarker{}
	}
}

func (w *World) uid() types.UID {
	w.uids++
	return types.UID(fmt.Sprintf("uid-%d", w.uids))
}

// AddSet adds a set from YAML, with the defaults of its CustomResourceDefinition.
func (w *World) AddSet(t testing.TB, manifest string) *storagev1alpha1.KafkaLocalVolumeSet {
	t.Helper()
	set := &storagev1alpha1.KafkaLocalVolumeSet{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(manifest), set))
	set.UID, set.Generation = w.uid(), 1
	if set.Namespace == "" {
		set.Namespace = "default"
	}
	set.CreationTimestamp = metav1.NewTime(Now.Add(time.Duration(w.uids) * time.Second))
	w.Sets[spec.ID(set.Namespace, set.Name)] = set
	return set
}

// Confluent is the set for the claims of the Confluent chart: three Kafka brokers and three ZooKeeper servers.
const Confluent = `
metadata: {name: cp}
spec:
  replicas: 3
  basePath: /mnt/data
  templates:
  - name: kafka
    claimNamePattern: datadir-0-cp-helm-charts-cp-kafka-{ordinal}
    size: 5Gi
    accessModes: [ReadWriteOnce, ReadWriteMany]
  - name: zookeeper-data
    claimNamePattern: datadir-cp-helm-charts-cp-zookeeper-{ordinal}
    size: 5Gi
    accessModes: [ReadWriteOnce, ReadWriteMany]
  - name: zookeeper-log
    claimNamePattern: datalogdir-cp-helm-charts-cp-zookeeper-{ordinal}
    size: 5Gi
    accessModes: [ReadWriteOnce, ReadWriteMany]
`

// Observe returns the state of a set.
func (w *World) Observe(set *storagev1alpha1.KafkaLocalVolumeSet) *observed.State {
	s := &observed.State{
		Set: set, Nodes: w.Nodes, Agents: w.Agents, Holders: w.Agents, VolumesByName: w.PVs,
		VolumesByClaim: map[string][]*corev1.PersistentVolume{}, Claims: map[string]*corev1.PersistentVolumeClaim{},
		Pods: map[string][]*corev1.Pod{}, Wiping: decide.Wiping(w.Wipes, w.Agents), Expandable: w.Expandable,
		Settings: w.Settings, Now: Now.Add(w.Later),
	}
	for _, key := range slices.Sorted(maps.Keys(w.Sets)) {
		if w.Sets[key] != set {
			s.Others = append(s.Others, w.Sets[key])
		}
	}
	var reservations observed.Reservations
	reservations.Update(append(slices.Clip(s.Others), set), w.Agents)
	s.Reserved = reservations.Total()
	for _, name := range slices.Sorted(maps.Keys(w.PVs)) {
		if ref := w.PVs[name].Spec.ClaimRef; ref != nil && ref.Namespace == set.Namespace {
			s.VolumesByClaim[ref.Name] = append(s.VolumesByClaim[ref.Name], w.PVs[name])
		}
	}
	for _, claim := range w.Claims {
		if claim.Namespace == set.Namespace {
			s.Claims[claim.Name] = claim
			s.Pods[claim.Name] = w.Pods[spec.ID(claim.Namespace, claim.Name)]
		}
	}
	return s
}

// Apply carries out a plan. It fails the test if the plan would take a directory from another claim.
func (w *World) Apply(t testing.TB, s *observed.State, plan decide.Plan) {
	t.Helper()
	set := w.Sets[spec.ID(s.Set.Namespace, s.Set.Name)]
	set.Status = plan.Status
	w.apply(t, plan)
}

func (w *World) apply(t testing.TB, plan decide.Plan) {
	t.Helper()
	for _, pv := range plan.Create {
		require.NotContains(t, w.PVs, pv.Name, "a PersistentVolume is created twice")
		pv = pv.DeepCopy()
		pv.UID, pv.Status.Phase = w.uid(), corev1.VolumeAvailable
		w.PVs[pv.Name] = pv
	}
	for _, u := range plan.Update {
		w.PVs[u.Live.Name] = u.Want.DeepCopy()
	}
	for _, r := range plan.Release {
		pv := r.Want.DeepCopy()
		pv.Status.Phase = corev1.VolumeAvailable
		w.PVs[pv.Name] = pv
	}
	for _, pv := range plan.Delete {
		delete(w.PVs, pv.Name)
	}
	for _, e := range plan.Expand {
		claim := e.Claim.DeepCopy()
		claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: e.Capacity}
		w.Claims[spec.ID(claim.Namespace, claim.Name)] = claim
	}
}

// Step runs one round: the controller, the agents, the binder.
func (w *World) Step(t testing.TB) (changed bool) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(w.Sets)) {
		s := w.Observe(w.Sets[key].DeepCopy())
		s.Others = nil
		for _, other := range slices.Sorted(maps.Keys(w.Sets)) {
			if other != key {
				s.Others = append(s.Others, w.Sets[other])
			}
		}
		plan := decide.Set(s)
		changed = changed || !plan.Empty(s)
		w.Apply(t, s, plan)
	}
	changed = w.stepClaims(t) || changed
	return w.stepAgents() || changed
}

// Settle runs rounds until nothing changes.
func (w *World) Settle(t testing.TB) {
	t.Helper()
	for range 20 {
		w.Bind()
		if !w.Step(t) {
			return
		}
	}
	t.Fatal("the plans do not become empty")
}

// Claim creates a claim.
func (w *World) Claim(namespace, name, size string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: w.uid(), CreationTimestamp: metav1.NewTime(Now)},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: new("local-storage"),
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			},
		},
	}
	w.Claims[spec.ID(namespace, name)] = claim
	return claim
}

// DeleteClaim deletes a claim. Its PersistentVolume becomes Released.
func (w *World) DeleteClaim(namespace, name string) {
	id := spec.ID(namespace, name)
	for key, pv := range w.PVs {
		if ref := pv.Spec.ClaimRef; ref != nil && ref.UID != "" && ref.UID == w.Claims[id].UID {
			pv = pv.DeepCopy()
			pv.Status.Phase = corev1.VolumeReleased
			w.PVs[key] = pv
		}
	}
	delete(w.Claims, id)
}

// Bind does what the binder of Kubernetes does with pre-bound PersistentVolumes.
func (w *World) Bind() {
	for key, pv := range w.PVs {
		ref := pv.Spec.ClaimRef
		if ref == nil || pv.Status.Phase != corev1.VolumeAvailable {
			continue
		}
		claim := w.Claims[spec.ID(ref.Namespace, ref.Name)]
		if claim == nil || ref.UID != "" && ref.UID != claim.UID ||
			claim.Spec.VolumeName != "" && claim.Spec.VolumeName != pv.Name {
			continue
		}
		asks, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], pv.Spec.Capacity[corev1.ResourceStorage]
		if asks.Cmp(has) > 0 {
			continue
		}
		pv = pv.DeepCopy()
		pv.Spec.ClaimRef.UID, pv.Status.Phase = claim.UID, corev1.VolumeBound
		w.PVs[key] = pv
		claim.Spec.VolumeName, claim.Status.Phase = pv.Name, corev1.ClaimBound
		claim.Status.Capacity = pv.Spec.Capacity.DeepCopy()
	}
}
