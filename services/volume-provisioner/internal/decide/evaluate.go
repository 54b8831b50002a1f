package decide

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// evaluate decides the phase of a volume and what has to be written for it.
func (d *decision) evaluate(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus) {
	if entry.Node == "" {
		if entry.Phase == storagev1alpha1.PhaseUnplaced {
			d.report.Unplaced(entry.Message)
		}
		return
	}
	pv := volumes.Find(d.s, v)
	if pv != nil {
		entry.PV = pv.Name
	}
	if d.s.Wiping[v.ID()] {
		entry.Phase, entry.Message = storagev1alpha1.PhasePreparing, "a VolumeWipe deletes the data; the volume is empty then"
		entry.Marker = ""
		d.report.Pending(entry.Message)
		return
	}
	node := d.s.Nodes[entry.Node]
	if node == nil {
		d.lost(v, entry)
		return
	}
	entry.NodeUID = node.UID
	if !d.directoryReady(v, entry) {
		return
	}
	d.volume(v, entry, pv, node)
}

func (d *decision) lost(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus) {
	entry.Phase = storagev1alpha1.PhaseLost
	message := fmt.Sprintf("node %s does not exist; its directory %s is not touched: add the node again, or if it was "+
		"renamed, start the agent on it", entry.Node, v.Directory())
	if entry.Message != "" {
		message += "; " + entry.Message
	}
	entry.Message = message
	d.report.Lost(storagev1alpha1.ReasonNodeDeleted, fmt.Sprintf("replica %d: %s", v.Ordinal, message))
}

// directoryReady reports whether the agent has prepared the directory. Otherwise it sets the phase.
func (d *decision) directoryReady(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus) bool {
	agent := d.s.Agents[entry.Node]
	wait := func(format string, args ...any) bool {
		entry.Phase, entry.Message = storagev1alpha1.PhasePreparing, fmt.Sprintf(format, args...)
		d.report.Directory(storagev1alpha1.ReasonDirectoriesPending, entry.Message)
		return false
	}
	fail := func(message string) bool {
		entry.Phase, entry.Message = storagev1alpha1.PhaseFailed, message
		d.report.Directory(storagev1alpha1.ReasonDirectoryFailed, message)
		return false
	}
	if agent == nil {
		return wait("node %s has no LocalVolumeNode; start the agent on it", entry.Node)
	}
	fs := observed.FileSystem(agent, v.BasePath)
	switch {
	case fs == nil:
		return wait("the agent of node %s has not reported %s yet", entry.Node, v.BasePath)
	case fs.State != storagev1alpha1.FileSystemReady:
		return fail(fmt.Sprintf("%s on node %s: %s", v.BasePath, entry.Node, cmp.Or(fs.Message, string(fs.State))))
	}
	directory := observed.Directory(agent, v.ID())
	if directory == nil {
		return wait("the agent of node %s has not prepared %s yet", entry.Node, v.Directory())
	}
	at := fmt.Sprintf("%s on node %s: ", v.Directory(), entry.Node)
	switch directory.State {
	case storagev1alpha1.DirectoryReady:
	case storagev1alpha1.DirectoryUnmarked:
		entry.Phase = storagev1alpha1.PhaseConflict
		entry.Message = at + "the directory is not empty and has no marker; set spec.adoptExisting to Unmarked to use it"
	case storagev1alpha1.DirectoryConflict, storagev1alpha1.DirectoryWrongMachine, storagev1alpha1.DirectoryInvalid:
		entry.Phase = storagev1alpha1.PhaseConflict
		entry.Message = at + cmp.Or(directory.Message, string(directory.State))
	default:
		return fail(at + cmp.Or(directory.Message, string(directory.State)))
	}
	if directory.State != storagev1alpha1.DirectoryReady {
		d.report.Conflict(storagev1alpha1.ReasonDirectoryConflict, entry.Message)
		return false
	}
	switch {
	case directory.Marker == nil || directory.Marker.ID != v.ID():
		return wait("the agent of node %s has not reported the marker of %s yet", entry.Node, v.Directory())
	case d.s.Set.Spec.Quota == storagev1alpha1.QuotaXFS && directory.LimitBytes < entry.Bytes:
		return wait("the agent of node %s has not set the quota of %s yet", entry.Node, v.Directory())
	}
	entry.Marker = directory.Marker.ID
	return true
}

// volume decides about the PersistentVolume of a directory that is ready.
func (d *decision) volume(
	v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus, pv *corev1.PersistentVolume, node *corev1.Node,
) {
	conflict := func(message string) {
		entry.Phase, entry.Message = storagev1alpha1.PhaseConflict, message
		d.report.Conflict(storagev1alpha1.ReasonVolumeConflict, message)
	}
	if pv == nil {
		name, err := volumes.Name(d.s, v)
		if err != nil {
			conflict(err.Error())
			return
		}
		entry.Phase, entry.Message, entry.PV = storagev1alpha1.PhasePreparing, "", name
		d.report.Pending("PersistentVolume " + name + " is being created")
		created := volumes.Build(d.s.Set, v, name, node, entry.Bytes)
		volumes.Await(created, d.s.Claims[v.Claim])
		d.plan.Create = append(d.plan.Create, created)
		return
	}
	want := volumes.Build(d.s.Set, v, pv.Name, node, entry.Bytes)
	managed := volumes.Managed(pv)
	ref := pv.Spec.ClaimRef
	switch difference := volumes.Difference(pv, want); {
	case managed && pv.Annotations[storagev1alpha1.AnnotationSet] != d.s.Set.Name:
		conflict(fmt.Sprintf("PersistentVolume %s belongs to %s; use the name of that set, or delete the PersistentVolume",
			pv.Name, spec.Owner(pv.Annotations[storagev1alpha1.AnnotationSet])))
		return
	case managed && difference != "":
		d.moved(entry, pv, difference)
		return
	case !managed && d.s.Set.Spec.AdoptExisting != storagev1alpha1.AdoptUnmarked:
		conflict(fmt.Sprintf("PersistentVolume %s was not created by %s; set spec.adoptExisting to Unmarked to adopt it",
			pv.Name, spec.Manager))
		return
	case !managed && volumes.Adoptable(pv, want) != "":
		conflict(fmt.Sprintf("PersistentVolume %s %s; change the set so that it matches", pv.Name,
			volumes.Adoptable(pv, want)))
		return
	case ref != nil && (ref.Name != v.Claim || ref.Namespace != v.Namespace) && pv.Status.Phase == corev1.VolumeBound:
		conflict(fmt.Sprintf("PersistentVolume %s was changed by another client and is bound to claim %s/%s; delete that "+
			"claim, and the PersistentVolume is restored", pv.Name, ref.Namespace, ref.Name))
		return
	}
	d.phase(v, entry, pv)
	if pv.DeletionTimestamp == nil && !d.releasing(pv) {
		d.update(v, pv, want)
	}
}

func (d *decision) releasing(pv *corev1.PersistentVolume) bool {
	for _, r := range d.plan.Release {
		if r.Live == pv {
			return true
		}
	}
	return false
}

// moved replaces the PersistentVolume of a node that was renamed, whose node affinity is immutable. A bound one stays.
func (d *decision) moved(entry *storagev1alpha1.LocalVolumeStatus, pv *corev1.PersistentVolume, difference string) {
	if pv.Status.Phase == corev1.VolumeBound {
		entry.Phase = storagev1alpha1.PhaseLost
		entry.Message = fmt.Sprintf("PersistentVolume %s %s, because the node was renamed; delete the pod and claim %s: a "+
			"new claim binds to the same directory", pv.Name, difference, entry.Claim)
		d.report.Lost(storagev1alpha1.ReasonNodeDeleted, entry.Message)
		return
	}
	entry.Phase = storagev1alpha1.PhasePreparing
	entry.Message = "the node was renamed; the PersistentVolume is created again"
	d.report.Pending(entry.Message)
	if pv.DeletionTimestamp == nil {
		d.plan.Delete = append(d.plan.Delete, pv)
	}
}

// phase sets the phase of a volume from its PersistentVolume, and plans its release.
func (d *decision) phase(v spec.Volume, entry *storagev1alpha1.LocalVolumeStatus, pv *corev1.PersistentVolume) {
	entry.Message = ""
	claim := d.s.Claims[v.Claim]
	switch pv.Status.Phase {
	case corev1.VolumeBound:
		entry.Phase = storagev1alpha1.PhaseBound
		if claim != nil && claim.DeletionTimestamp != nil {
			entry.Message = fmt.Sprintf("claim %s is being deleted", v.Claim)
			if pod := observed.UserOf(d.s.Pods[v.Claim], nil, claim.UID); pod != "" {
				entry.Message += fmt.Sprintf(" and pod %s still uses it; delete the pod: the data stays, and a new claim binds "+
					"to it", pod)
				d.report.Pending(entry.Message)
			}
		}
	case corev1.VolumeReleased:
		entry.Phase = storagev1alpha1.PhaseReleased
		if pv.Spec.ClaimRef == nil {
			break
		}
		release, waits := volumes.ReleaseOf(d.s, v, pv)
		if release != nil && pv.DeletionTimestamp == nil {
			d.plan.Release = append(d.plan.Release, release)
		}
		entry.Message = waits
		d.report.Pending(cmp.Or(waits, "PersistentVolume "+pv.Name+" is made available again"))
	case corev1.VolumeFailed:
		entry.Phase, entry.Message = storagev1alpha1.PhaseFailed, pv.Status.Message
		d.report.Pending("PersistentVolume " + pv.Name + " has failed: " + pv.Status.Message)
	default:
		entry.Phase = storagev1alpha1.PhaseAvailable
	}
	if claim != nil && claim.DeletionTimestamp == nil {
		if reason, message := volumes.Mismatch(claim, pv); reason != "" {
			entry.Message = message
			d.report.Mismatch(reason, message)
		}
	}
	if pv.DeletionTimestamp != nil {
		entry.Message = fmt.Sprintf("PersistentVolume %s is being deleted; it is created again with the same directory",
			pv.Name)
	}
}
