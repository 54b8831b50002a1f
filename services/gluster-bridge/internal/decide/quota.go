package decide

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/condition"
)

// Mode returns the quota mode in effect. A storage without a configured mode becomes Managed when a quotad has enforced
// a limit, and remains it: a quotad that is down must not lead to volumes without a limit.
func Mode(
	s Storage, previous kadaluv1alpha1.QuotaMode, volumes []*storagev1alpha1.GlusterVolume,
) kadaluv1alpha1.QuotaMode {
	switch {
	case !s.Native:
		return kadaluv1alpha1.QuotaUnmanaged
	case s.Quota != "":
		return s.Quota
	case previous == kadaluv1alpha1.QuotaManaged:
		return previous
	}
	for _, v := range volumes {
		for _, b := range v.Status.Bricks {
			if b.State == storagev1alpha1.BrickEnforced {
				return kadaluv1alpha1.QuotaManaged
			}
		}
	}
	return kadaluv1alpha1.QuotaUnmanaged
}

// Limited reports whether a storage has GlusterVolumes and project ids.
func (s Storage) Limited() bool { return s.Native && s.Quota != kadaluv1alpha1.QuotaUnmanaged }

// Acknowledgement says what the bricks report about one size of a volume.
type Acknowledgement struct {
	// Waiting are the online bricks that have not reported the size.
	Waiting []string
	// Failed are the online bricks that report that they cannot enforce the size, with the cause.
	Failed []string
	// Blocked is true if waiting is useless: a brick cannot enforce any size until the administrator changes it, or it
	// refuses the project id and the volume gets another one.
	Blocked bool
	// Enforced is the number of online bricks with data that enforce the size.
	Enforced int
}

// Done reports whether every online brick enforces the size.
func (a Acknowledgement) Done() bool {
	return a.Enforced > 0 && len(a.Waiting) == 0 && len(a.Failed) == 0
}

// String names the bricks that do not enforce the size.
func (a Acknowledgement) String() string {
	var parts []string
	if len(a.Failed) > 0 {
		parts = append(parts, "bricks cannot enforce the size: "+strings.Join(a.Failed, "; "))
	}
	if len(a.Waiting) > 0 {
		parts = append(parts, "bricks have not acknowledged the size; check quotad on their nodes: "+
			strings.Join(a.Waiting, ", "))
	}
	if len(parts) == 0 && a.Enforced == 0 {
		parts = append(parts, "no brick is online")
	}
	return strings.Join(parts, "; ")
}

// Acknowledged returns what the bricks report about a generation of a GlusterVolume. bricks are all bricks of the
// GlusterFS volume, as host:path; the offline ones are not waited for. Entries of other bricks do not count.
func Acknowledged(
	gv *storagev1alpha1.GlusterVolume, generation int64, bricks, offline []string,
) Acknowledgement {
	var a Acknowledgement
	reported := map[string]storagev1alpha1.BrickStatus{}
	for _, b := range gv.Status.Bricks {
		reported[b.Host+":"+b.Brick] = b
	}
	for _, brick := range bricks {
		if slices.Contains(offline, brick) {
			continue
		}
		b, found := reported[brick]
		switch {
		case !found || b.ObservedGeneration < generation:
			a.Waiting = append(a.Waiting, brick)
		case b.State == storagev1alpha1.BrickEnforced:
			a.Enforced++
		case b.State == storagev1alpha1.BrickArbiter:
		case b.State == storagev1alpha1.BrickWaiting:
			a.Waiting = append(a.Waiting, brick)
		default:
			a.Failed = append(a.Failed, fmt.Sprintf("%s: %s: %s", brick, b.State, b.Message))
			a.Blocked = a.Blocked || b.State == storagev1alpha1.BrickUnsupported ||
				b.State == storagev1alpha1.BrickRefused || b.State == storagev1alpha1.BrickProjectInUse
		}
	}
	return a
}

// Shows reports whether statfs of a directory shows a limit. total is the size that statfs returns, block its block
// size, and capacity the size of the whole file system. The limit is rounded to blocks on each brick.
func (l Limit) Shows(total, block, capacity int64) bool {
	want := min(l.Size, capacity)
	slack := block * int64(l.DataBricks+1)
	return total >= want-slack && total <= want+slack
}

// DataBricks is the number of bricks over which the data of a file is spread.
func (g Graph) DataBricks() int {
	if g.Redundancy > 0 {
		return max(1, g.Replicas-g.Redundancy)
	}
	return 1
}

// enforced returns the condition Enforced of a GlusterVolume.
func enforced(state VolumeState) metav1.Condition {
	type_ := storagev1alpha1.ConditionEnforced
	switch {
	case state.Probe == nil || state.Probe.Err != nil:
		return condition.Unknown(type_, string(storagev1alpha1.ReasonStorageUnavailable), "KadaluStorage "+
			state.ID.StorageID()+" is not mounted; its condition Reachable has the cause")
	case another(state) && state.Info == nil:
		return condition.Unknown(type_, string(storagev1alpha1.ReasonStorageUnavailable), "the mounted GlusterFS volume has "+
			"the UUID "+state.Probe.Graph.ID+"; delete the GlusterVolume if the previous volume is gone")
	case state.Mode == kadaluv1alpha1.QuotaExternal:
		if state.Shown {
			return condition.True(type_, string(storagev1alpha1.ReasonLimitShown), "statfs of all online bricks shows the limit")
		}
		return condition.False(type_, string(storagev1alpha1.ReasonLimitNotShown),
			"statfs of a brick does not show the limit; check quotad on the nodes of the bricks")
	}
	a := Acknowledged(state.Volume, state.Volume.Generation, state.Probe.Graph.Bricks, state.Probe.Offline)
	switch {
	case a.Done():
		return condition.True(type_, string(storagev1alpha1.ReasonLimitsEnforced),
			fmt.Sprintf("%d bricks enforce the size", a.Enforced))
	case len(a.Failed) > 0:
		return condition.False(type_, string(storagev1alpha1.ReasonBricksFailed), a.String())
	case state.Mode == kadaluv1alpha1.QuotaUnmanaged:
		return condition.False(type_, string(storagev1alpha1.ReasonNoQuotad),
			"no quotad has enforced a limit on the storage yet")
	}
	return condition.False(type_, string(storagev1alpha1.ReasonWaitingForBricks), a.String())
}

// Limits is the number of volumes of a storage and of those whose size is enforced.
type Limits struct {
	Volumes, Enforced int
	// Example is the message of a volume whose size is not enforced.
	Example string
}

// CountLimits counts the volumes of a storage. names are ordered, so that the example does not change without need.
func CountLimits(volumes []*storagev1alpha1.GlusterVolume) Limits {
	l := Limits{Volumes: len(volumes)}
	first := ""
	for _, v := range volumes {
		done := false
		for _, c := range v.Status.Conditions {
			if c.Type != storagev1alpha1.ConditionEnforced {
				continue
			}
			done = c.Status == metav1.ConditionTrue && c.ObservedGeneration == v.Generation
			if !done && (first == "" || v.Name < first) {
				first, l.Example = v.Name, fmt.Sprintf("GlusterVolume %s: %s", v.Name, c.Message)
			}
		}
		if done {
			l.Enforced++
		}
	}
	return l
}

// quotaEnforced returns the condition QuotaEnforced of a storage.
func quotaEnforced(s Storage, mode kadaluv1alpha1.QuotaMode, l Limits) metav1.Condition {
	type_ := kadaluv1alpha1.ConditionQuotaEnforced
	switch {
	case !s.Native:
		return condition.False(type_, string(kadaluv1alpha1.ReasonQuotaUnmanaged),
			"the whole GlusterFS volume is one persistent volume")
	case s.Quota == kadaluv1alpha1.QuotaUnmanaged:
		return condition.False(type_, string(kadaluv1alpha1.ReasonQuotaUnmanaged), "spec.quota is Unmanaged")
	case mode == kadaluv1alpha1.QuotaUnmanaged:
		return condition.False(type_, string(kadaluv1alpha1.ReasonQuotaUnmanaged), "no quotad has enforced a limit")
	case l.Enforced < l.Volumes:
		return condition.False(type_, string(kadaluv1alpha1.ReasonNotAllEnforced),
			fmt.Sprintf("%d of %d sizes are enforced. %s", l.Enforced, l.Volumes, l.Example))
	}
	return condition.True(type_, string(kadaluv1alpha1.ReasonAllEnforced), fmt.Sprintf("%d sizes are enforced", l.Volumes))
}
