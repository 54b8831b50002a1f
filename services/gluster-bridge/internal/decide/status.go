package decide

import (
	"fmt"
	"slices"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	storagev1ac "k8s.io/client-go/applyconfigurations/storage/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/condition"
)

// Finalizer blocks the deletion of a storage while PersistentVolumes use it.
const Finalizer = "gluster-bridge.weir.dev/volumes"

// State is what is observed of one KadaluStorage.
type State struct {
	Storage *kadaluv1alpha1.KadaluStorage
	// Class is the StorageClass with the name of the storage's class, or nil.
	Class *storagev1.StorageClass
	// Operator is the namespace/name of a Deployment of kadalu's operator, or empty.
	Operator string
	// PersistentVolumes is the number of PersistentVolumes of the storage.
	PersistentVolumes int
	// Probe is the last probe of the volume, or nil.
	Probe *Probe
	// Volumes are the GlusterVolumes of the storage.
	Volumes []*storagev1alpha1.GlusterVolume
}

// Probe is what a mount of the volume has shown.
type Probe struct {
	Version                         string
	Graph                           Graph
	CapacityBytes, ProvisionedBytes int64
	// Offline are the bricks to which the client is not connected, as in Graph.Bricks.
	Offline []string
	// Damaged is the number of metadata files that cannot be used, and one of the errors.
	Damaged      int
	DamagedError string
	// Err is why the volume cannot be used, or nil.
	Err error
}

// Plan lists the writes, in the order of its fields.
type Plan struct {
	// Finalizers, if not nil, replace the finalizers of the storage.
	Finalizers *[]string
	// Class is applied if not nil.
	Class *storagev1ac.StorageClassApplyConfiguration
	// DeleteVolumes are GlusterVolumes that are deleted.
	DeleteVolumes []*storagev1alpha1.GlusterVolume
	// DeleteClass is deleted if not nil.
	DeleteClass *storagev1.StorageClass
	// Status is written if not nil. Its conditions have no times.
	Status *kadaluv1alpha1.KadaluStorageStatus
	// Usable is true if volumes can be created and mounted.
	Usable bool
	// Effective is the storage with all spellings merged.
	Effective Storage
	// Mode is the quota mode in effect.
	Mode kadaluv1alpha1.QuotaMode
}

// Decide plans the writes for one storage.
func Decide(state State) Plan {
	ks := state.Storage
	if ks.Spec.Type != TypeExternal {
		return Plan{}
	}
	storage, findings := Resolve(ks)
	plan := Plan{Effective: storage, Mode: Mode(storage, ks.Status.QuotaMode, state.Volumes)}
	own := state.Class != nil && reasonOf(ClassConflict(storage, state.Class)) == ""
	if ks.DeletionTimestamp != nil {
		if state.PersistentVolumes == 0 {
			if own {
				plan.DeleteClass = state.Class
			}
			plan.DeleteVolumes = state.Volumes
			plan.Finalizers = without(ks.Finalizers)
			return plan
		}
		plan.Usable = len(findings) == 0
		plan.Status = status(state, storage, condition.False(kadaluv1alpha1.ConditionReady,
			string(kadaluv1alpha1.ReasonVolumesExist), fmt.Sprintf("%d PersistentVolumes use the storage; delete them first",
				state.PersistentVolumes)))
		return plan
	}
	reason, message := refusal(state, storage, findings)
	if reason == kadaluv1alpha1.ReasonKadaluOperator || reason == kadaluv1alpha1.ReasonNameConflict {
		plan.Status = status(state, storage, condition.False(kadaluv1alpha1.ConditionReady, string(reason), message))
		return plan
	}
	plan.Finalizers = with(ks.Finalizers)
	if reason == "" {
		plan.Usable = true
		plan.Class = Class(storage)
	}
	plan.Status = status(state, storage, ready(state, storage, reason, message))
	return plan
}

// refusal returns why the storage cannot be used, whatever its volume is.
func refusal(state State, s Storage, findings []Finding) (kadaluv1alpha1.StorageReason, string) {
	if state.Operator != "" {
		return kadaluv1alpha1.ReasonKadaluOperator, "kadalu's operator runs as Deployment " + state.Operator +
			" and handles the same storage; remove it first"
	}
	if reason, message := ClassConflict(s, state.Class); reason != "" {
		return reason, message
	}
	if len(findings) > 0 {
		return kadaluv1alpha1.ReasonInvalidStorage, message(findings)
	}
	return "", ""
}

func message(findings []Finding) string {
	texts := make([]string, len(findings))
	for i, f := range findings {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "; ")
}

func reasonOf(r kadaluv1alpha1.StorageReason, _ string) kadaluv1alpha1.StorageReason { return r }

func ready(state State, s Storage, reason kadaluv1alpha1.StorageReason, text string) metav1.Condition {
	switch c, reached := compatible(state, s), reachable(state); {
	case reason != "":
		return condition.False(kadaluv1alpha1.ConditionReady, string(reason), text)
	case reached.Status != metav1.ConditionTrue:
		return condition.False(kadaluv1alpha1.ConditionReady, reached.Reason, reached.Message)
	case c.Status != metav1.ConditionTrue:
		return condition.False(kadaluv1alpha1.ConditionReady, c.Reason, c.Message)
	}
	text = "volumes can be provisioned with StorageClass " + ClassOf(s.Name)
	if state.Probe.Damaged > 0 {
		text += fmt.Sprintf("; %d metadata files cannot be used: %s", state.Probe.Damaged, state.Probe.DamagedError)
	}
	return condition.True(kadaluv1alpha1.ConditionReady, string(kadaluv1alpha1.ReasonStorageReady), text)
}

func reachable(state State) metav1.Condition {
	switch {
	case state.Probe == nil:
		return condition.Unknown(kadaluv1alpha1.ConditionReachable, string(kadaluv1alpha1.ReasonNotProbed),
			"the volume has not been mounted yet")
	case state.Probe.Err != nil:
		return condition.False(kadaluv1alpha1.ConditionReachable, string(kadaluv1alpha1.ReasonMountFailed),
			state.Probe.Err.Error())
	}
	return condition.True(kadaluv1alpha1.ConditionReachable, string(kadaluv1alpha1.ReasonMounted),
		"the volume is mounted with GlusterFS "+state.Probe.Version)
}

func compatible(state State, s Storage) metav1.Condition {
	if state.Probe == nil || state.Probe.Err != nil {
		return condition.Unknown(kadaluv1alpha1.ConditionCompatible, string(kadaluv1alpha1.ReasonNotProbed),
			"the volume is not mounted")
	}
	v := Compatible(state.Probe.Graph, state.Probe.Version, s.Native)
	switch {
	case v.Distributed:
		return condition.False(kadaluv1alpha1.ConditionCompatible, string(kadaluv1alpha1.ReasonDistributed), v.Problem)
	case v.Sharded:
		return condition.False(kadaluv1alpha1.ConditionCompatible, string(kadaluv1alpha1.ReasonSharded), v.Problem)
	case v.Problem != "":
		return condition.False(kadaluv1alpha1.ConditionCompatible,
			string(kadaluv1alpha1.ReasonVersionNotSupported), v.Problem)
	}
	return condition.True(kadaluv1alpha1.ConditionCompatible, string(kadaluv1alpha1.ReasonSupported),
		"the volume has the type "+state.Probe.Graph.Type())
}

func status(state State, s Storage, ready metav1.Condition) *kadaluv1alpha1.KadaluStorageStatus {
	mode := Mode(s, state.Storage.Status.QuotaMode, state.Volumes)
	out := &kadaluv1alpha1.KadaluStorageStatus{
		ObservedGeneration: state.Storage.Generation,
		Conditions: []metav1.Condition{
			ready, reachable(state), compatible(state, s),
			quotaEnforced(s, mode, CountLimits(state.Volumes)),
		},
		PersistentVolumes: int32(state.PersistentVolumes),
		QuotaMode:         mode,
	}
	if reason, _ := ClassConflict(s, state.Class); reason == "" {
		out.StorageClass = ClassOf(s.Name)
	}
	if p := state.Probe; p != nil && p.Err == nil {
		out.Volume = &kadaluv1alpha1.GlusterVolumeInfo{ID: p.Graph.ID, Type: p.Graph.Type(), Bricks: p.Graph.Bricks}
		out.CapacityBytes, out.ProvisionedBytes = p.CapacityBytes, p.ProvisionedBytes
		out.Free = resource.NewQuantity(Free(p.CapacityBytes, p.ProvisionedBytes), resource.BinarySI).String()
	}
	return out
}

// with returns the finalizers with the one of gluster-bridge, or nil if they have it.
func with(finalizers []string) *[]string {
	for _, f := range finalizers {
		if f == Finalizer {
			return nil
		}
	}
	all := append(append([]string{}, finalizers...), Finalizer)
	return &all
}

// without returns the finalizers without the one of gluster-bridge, or nil if they do not have it.
func without(finalizers []string) *[]string {
	kept := []string{}
	for _, f := range finalizers {
		if f != Finalizer {
			kept = append(kept, f)
		}
	}
	if len(kept) == len(finalizers) {
		return nil
	}
	return &kept
}

// OnlyVolumes reports whether two statuses of a storage differ only in what each of its volumes changes.
func OnlyVolumes(before, after kadaluv1alpha1.KadaluStorageStatus) bool {
	return equality.Semantic.DeepEqual(withoutVolumes(before), withoutVolumes(after))
}

func withoutVolumes(status kadaluv1alpha1.KadaluStorageStatus) kadaluv1alpha1.KadaluStorageStatus {
	rest := *status.DeepCopy()
	rest.PersistentVolumes, rest.ProvisionedBytes, rest.Free = 0, 0, ""
	rest.Conditions = slices.DeleteFunc(rest.Conditions, func(c metav1.Condition) bool {
		return c.Type == kadaluv1alpha1.ConditionQuotaEnforced
	})
	return rest
}
