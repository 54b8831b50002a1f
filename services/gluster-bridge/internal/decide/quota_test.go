package decide

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

var (
	testBricks = []string{"h1:/b", "h2:/b", "h3:/b"}
	testID     = VolumeID{"default", "ext-storage", "pvc-1"}
)

func brick(host string, state storagev1alpha1.BrickState, generation int64) storagev1alpha1.BrickStatus {
	return storagev1alpha1.BrickStatus{
		Node: host, Host: host, Brick: "/b", State: state, ObservedGeneration: generation, Message: "text",
	}
}

func glusterVolume(bricks ...storagev1alpha1.BrickStatus) *storagev1alpha1.GlusterVolume {
	gv := &storagev1alpha1.GlusterVolume{}
	gv.Name, gv.Generation = GlusterVolumeName(testID), 2
	gv.Spec = storagev1alpha1.GlusterVolumeSpec{
		Storage: "default/ext-storage", Volume: "r3", VolumeID: "uuid", Path: DataPath("pvc-1"), CapacityBytes: 10,
		ProjectID: 5,
	}
	gv.Status.Bricks = bricks
	return gv
}

func TestASizeIsAcknowledgedByEveryOnlineBrick(t *testing.T) {
	t.Parallel()
	const enforced, arbiter = storagev1alpha1.BrickEnforced, storagev1alpha1.BrickArbiter
	for name, test := range map[string]struct {
		bricks  []storagev1alpha1.BrickStatus
		offline []string
		done    bool
		blocked bool
		text    string
	}{
		"all bricks": {
			bricks: []storagev1alpha1.BrickStatus{brick("h1", enforced, 2), brick("h2", enforced, 2), brick("h3", arbiter, 2)},
			done:   true,
		},
		"an entry of the previous size": {
			bricks: []storagev1alpha1.BrickStatus{brick("h1", enforced, 2), brick("h2", enforced, 1), brick("h3", enforced, 2)},
			text:   "not acknowledged the size; check quotad on their nodes: h2:/b",
		},
		"a brick without entry": {
			bricks: []storagev1alpha1.BrickStatus{brick("h1", enforced, 2), brick("h2", enforced, 2)},
			text:   "h3:/b",
		},
		"a brick without entry that is offline": {
			bricks:  []storagev1alpha1.BrickStatus{brick("h1", enforced, 2), brick("h2", enforced, 2)},
			offline: []string{"h3:/b"}, done: true,
		},
		"only the arbiter is online": {
			bricks:  []storagev1alpha1.BrickStatus{brick("h3", arbiter, 2)},
			offline: []string{"h1:/b", "h2:/b"}, text: "no brick is online",
		},
		"a brick that has no directory yet": {
			bricks: []storagev1alpha1.BrickStatus{
				brick("h1", storagev1alpha1.BrickWaiting, 2), brick("h2", enforced, 2), brick("h3", enforced, 2),
			},
			text: "h1:/b",
		},
		"a brick with a failed system call": {
			bricks: []storagev1alpha1.BrickStatus{
				brick("h1", storagev1alpha1.BrickFailed, 2), brick("h2", enforced, 2), brick("h3", enforced, 2),
			},
			text: "cannot enforce the size: h1:/b: Failed: text",
		},
		"a brick without quota": {
			bricks: []storagev1alpha1.BrickStatus{
				brick("h1", storagev1alpha1.BrickUnsupported, 2), brick("h2", enforced, 2), brick("h3", enforced, 2),
			},
			blocked: true, text: "h1:/b: Unsupported: text",
		},
		"entries of bricks that were replaced": {
			bricks: []storagev1alpha1.BrickStatus{brick("old", enforced, 2)}, text: "h1:/b, h2:/b, h3:/b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := Acknowledged(glusterVolume(test.bricks...), 2, testBricks, test.offline)
			require.Equal(t, test.done, a.Done(), a.String())
			require.Equal(t, test.blocked, a.Blocked)
			require.Contains(t, a.String(), test.text)
		})
	}
}

func TestAStorageBecomesManagedWhenAQuotadEnforcesALimitAndRemainsIt(t *testing.T) {
	t.Parallel()
	native := Storage{Native: true}
	unsupported := glusterVolume(brick("h1", storagev1alpha1.BrickUnsupported, 2))
	enforced := glusterVolume(brick("h1", storagev1alpha1.BrickEnforced, 2))
	const managed, unmanaged, external = kadaluv1alpha1.QuotaManaged, kadaluv1alpha1.QuotaUnmanaged,
		kadaluv1alpha1.QuotaExternal
	all := []*storagev1alpha1.GlusterVolume{unsupported, enforced}
	require.Equal(t, unmanaged, Mode(native, "", nil))
	require.Equal(t, unmanaged, Mode(native, "", all[:1]), "a quotad that cannot set limits stops no provisioning")
	require.Equal(t, managed, Mode(native, "", all))
	require.Equal(t, managed, Mode(native, managed, nil))
	require.Equal(t, unmanaged, Mode(native, unmanaged, nil))
	require.Equal(t, unmanaged, Mode(Storage{Native: true, Quota: unmanaged}, managed, all))
	require.Equal(t, external, Mode(Storage{Native: true, Quota: external}, managed, all))
	require.Equal(t, unmanaged, Mode(Storage{}, managed, all), "a whole volume has no limit")
}

func TestProjectIDsAreUniqueAndInTheRange(t *testing.T) {
	t.Parallel()
	r, err := ParseProjectRange("100-131")
	require.NoError(t, err)
	used := map[int64]bool{}
	for i := range 32 {
		id, err := r.Allocate(strings.Repeat("v", i), len(used), func(id int64) bool { return used[id] })
		require.NoError(t, err)
		require.False(t, used[id])
		require.True(t, id >= 100 && id <= 131, id)
		used[id] = true
	}
	_, err = r.Allocate("one more", len(used), func(id int64) bool { return used[id] })
	require.ErrorContains(t, err, "all project ids of the range 100-131 are used")
	for _, text := range []string{"", "1", "0-5", "5-4", "1-4294967295", "a-b", "-1-5"} {
		_, err := ParseProjectRange(text)
		require.ErrorContains(t, err, "for example 1073741824-2147483647", text)
	}
	again, err := ParseProjectRange(DefaultProjects.String())
	require.NoError(t, err)
	require.Equal(t, DefaultProjects, again)
}

func TestNamesOfGlusterVolumesAreLegalAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]VolumeID{}
	for _, id := range []VolumeID{
		{"a", "s", "pvc-1"}, {"b", "s", "pvc-1"}, {"a", "s.t", "pvc"}, {"a", "s", "t.pvc"}, {"a", "s", "t-pvc"},
		{"a", "s", "x.-y"}, {"a", "s", strings.Repeat("z", 100)},
	} {
		name := GlusterVolumeName(id)
		require.Empty(t, validation.IsDNS1123Subdomain(name), name)
		require.NotContains(t, seen, name)
		seen[name] = id
	}
	id, ok := VolumeOf(glusterVolume())
	require.True(t, ok)
	require.Equal(t, testID, id)
	other := glusterVolume()
	other.Spec.Path = "subvol/00/00/pvc-1"
	_, ok = VolumeOf(other)
	require.False(t, ok, "a GlusterVolume that was written by hand is not the one of a volume")
}

func TestStatfsShowsALimitThatIsRoundedToBlocks(t *testing.T) {
	t.Parallel()
	const block, capacity = 4096, 1 << 30
	shows := func(size, total int64, data int) bool { return Limit{size, data}.Shows(total, block, capacity) }
	require.True(t, shows(10<<20, 10<<20, 1))
	require.True(t, shows(10<<20+1000, 10<<20, 1), "XFS rounds down to blocks")
	require.True(t, shows(10<<20+1, 10<<20+2*block, 2), "each data brick rounds up")
	require.False(t, shows(20<<20, 10<<20, 1), "the previous size")
	require.False(t, shows(10<<20, capacity, 1), "no limit")
	require.True(t, shows(capacity, capacity, 1))
	require.Equal(t, Limit{6 << 20, 1}, Limit{12<<20 - 1, 2}.OnBrick(), "rounded up")
	require.Equal(t, Limit{5, 1}, Limit{5, 0}.OnBrick())
}

func TestLimitIsShownWhenTheVolumeAndEveryBrickShowIt(t *testing.T) {
	t.Parallel()
	require.True(t, Shown{Volume: true}.Done())
	require.False(t, Shown{}.Done())
	one := Shown{Volume: true, Missing: []string{"h3:/b"}}
	require.False(t, one.Done(), "the smallest limit says nothing about a brick without one")
	require.Equal(t, "; check quotad on the nodes of the bricks h3:/b", one.String())
}

func TestArbitersHaveNoLimit(t *testing.T) {
	t.Parallel()
	six := make([]string, 6)
	require.Equal(t, []int{0, 1, 3, 4}, Graph{Bricks: six, Replicas: 3, Arbiters: 1}.LimitedBricks())
	require.Equal(t, []int{0, 1, 2}, Graph{Bricks: six[:3], Replicas: 3}.LimitedBricks())
	require.Equal(t, []int{0, 1, 2}, Graph{Bricks: six[:3], Replicas: 3, Redundancy: 1}.LimitedBricks())
	require.Equal(t, []int{0}, Graph{Bricks: six[:1], Replicas: 1}.LimitedBricks())
}

func TestVolfileOfABrickIsTheTranslatorOfItsClient(t *testing.T) {
	t.Parallel()
	section, err := BrickVolfile(volfile, "r3-client-1")
	require.NoError(t, err)
	require.Equal(t, `volume r3-client-1
    type protocol/client
    option remote-subvolume /bricks/r3
    option remote-host 10.0.0.2
end-volume
`, section)
	for _, name := range []string{"r3-replicate-0", "r3-client", "", "r3-client-1\nend-volume"} {
		_, err := BrickVolfile(volfile, name)
		require.ErrorContains(t, err, "translator", name)
	}
	_, err = BrickVolfile(volfile[:100], "r3-client-0")
	require.Error(t, err)
}

func TestClientOfABrickUsesTLSIfTheVolumeDoes(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]bool{
		"": false, "volume v\n    option transport.socket.ssl-enabled on\nend-volume\n": true,
		"option transport.socket.ssl-enabled off": false, "option transport.socket.ssl-enabled True\n": true,
		"option transport.socket.ssl-enabled": false, "option ssl-enabled on": false,
	} {
		require.Equal(t, want, Encrypted(section), section)
	}
}

func TestPlansForAVolume(t *testing.T) {
	t.Parallel()
	storage := Storage{Namespace: "default", Name: "ext-storage", Native: true, Volume: Mountable{Name: "r3"}}
	unmanaged, whole := storage, storage
	unmanaged.Quota, whole.Native = kadaluv1alpha1.QuotaUnmanaged, false
	info := Info{Size: 10, PathPrefix: NewInfo("pvc-1", 1).PathPrefix, ProjectID: 5, Storage: "default/ext-storage"}
	larger, foreign, fresh, renumbered := info, info, info, info
	larger.Size, foreign.Storage, renumbered.ProjectID = 20, "other/ext-storage", 6
	fresh.ProjectID, fresh.Storage = 0, ""
	probe := &Probe{Graph: Graph{ID: "uuid", Bricks: testBricks}}
	deleting := glusterVolume()
	now := metav1.Now()
	deleting.DeletionTimestamp = &now
	enforced := glusterVolume(brick("h1", storagev1alpha1.BrickEnforced, 2), brick("h2", storagev1alpha1.BrickEnforced, 2),
		brick("h3", storagev1alpha1.BrickEnforced, 2))
	refused := glusterVolume(brick("h1", storagev1alpha1.BrickEnforced, 2),
		brick("h2", storagev1alpha1.BrickProjectInUse, 2), brick("h3", storagev1alpha1.BrickProjectInUse, 1))
	for name, test := range map[string]struct {
		state  VolumeState
		want   string
		reason storagev1alpha1.GlusterVolumeReason
	}{
		"a new volume":       {VolumeState{Info: &info, Listed: true}, "apply", ""},
		"a volume of kadalu": {VolumeState{Info: &fresh, Listed: true}, "allocate", ""},
		"a volume that did not grow": {
			VolumeState{Info: &info, Volume: enforced, Listed: true}, "", storagev1alpha1.ReasonLimitsEnforced,
		},
		"a volume that grew": {
			VolumeState{Info: &larger, Volume: enforced, Listed: true}, "apply", storagev1alpha1.ReasonLimitsEnforced,
		},
		"another project id":          {VolumeState{Info: &renumbered, Volume: enforced, Listed: true}, "delete", ""},
		"a volume of another storage": {VolumeState{Info: &foreign, Volume: enforced, Listed: true}, "delete", ""},
		"a project id that a brick refuses": {
			VolumeState{Info: &info, Volume: refused, Listed: true}, "renumber", storagev1alpha1.ReasonBricksFailed,
		},
		"lost metadata":              {VolumeState{Volume: enforced, Listed: true}, "recover", ""},
		"nothing":                    {VolumeState{Listed: true}, "", ""},
		"metadata that was not read": {VolumeState{Volume: enforced}, "", storagev1alpha1.ReasonLimitsEnforced},
		"a volume that a call changes": {
			VolumeState{Volume: enforced, Listed: true, Busy: true}, "", "",
		},
		"a GlusterVolume that is being deleted": {VolumeState{Volume: deleting, Info: &info, Listed: true}, "", ""},
		"a storage without limits": {
			VolumeState{Storage: &unmanaged, Info: &info, Volume: enforced, Listed: true}, "delete", "",
		},
		"a whole GlusterFS volume": {VolumeState{Storage: &whole, Volume: enforced, Listed: true}, "delete", ""},
		"a storage that cannot be mounted": {
			VolumeState{Info: &info, Volume: enforced, Listed: true, Probe: &Probe{Err: errors.New("x")}}, "",
			storagev1alpha1.ReasonStorageUnavailable,
		},
		"an external quotad that has set no limit": {
			VolumeState{Info: &info, Volume: enforced, Listed: true, Mode: kadaluv1alpha1.QuotaExternal}, "",
			storagev1alpha1.ReasonLimitNotShown,
		},
		"another GlusterFS volume of the same name": {
			VolumeState{Volume: enforced, Listed: true, Probe: &Probe{Graph: Graph{ID: "other", Bricks: testBricks}}}, "",
			storagev1alpha1.ReasonStorageUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := test.state
			state.ID = testID
			if state.Storage == nil {
				state.Storage = &storage
			}
			if state.Probe == nil {
				state.Probe = probe
			}
			plan := Volume(state)
			did := ""
			for what, done := range map[string]bool{
				"delete": plan.Delete, "recover": plan.Recover, "allocate": plan.Allocate, "apply": plan.Apply != nil,
				"renumber": plan.Renumber,
			} {
				if done {
					did += what
				}
			}
			require.Equal(t, test.want, did)
			if test.reason != "" {
				require.Len(t, plan.Conditions, 1)
				require.Equal(t, string(test.reason), plan.Conditions[0].Reason, plan.Conditions[0].Message)
			}
		})
	}
	require.Equal(t, VolumePlan{Conditions: []metav1.Condition{enforcedOf(t, enforced)}},
		Volume(VolumeState{ID: testID, Volume: enforced}), "the limits of a lost storage stay")
}

func enforcedOf(t *testing.T, gv *storagev1alpha1.GlusterVolume) metav1.Condition {
	t.Helper()
	return enforced(VolumeState{ID: testID, Volume: gv})
}

func TestAPlanThatWasAppliedIsEmpty(t *testing.T) {
	t.Parallel()
	storage := Storage{Namespace: "default", Name: "ext-storage", Native: true, Volume: Mountable{Name: "r3"}}
	info := Info{Size: 7, PathPrefix: NewInfo("pvc-1", 1).PathPrefix, ProjectID: 9, Storage: "default/ext-storage"}
	state := VolumeState{
		ID: testID, Storage: &storage, Info: &info, Listed: true, Probe: &Probe{Graph: Graph{ID: "uuid", Bricks: testBricks}},
	}
	spec := Volume(state).Apply.Spec
	gv := glusterVolume()
	gv.Spec = storagev1alpha1.GlusterVolumeSpec{
		Storage: *spec.Storage, Volume: *spec.Volume, VolumeID: *spec.VolumeID, Path: *spec.Path,
		CapacityBytes: *spec.CapacityBytes, ProjectID: *spec.ProjectID,
	}
	state.Volume = gv
	plan := Volume(state)
	require.Nil(t, plan.Apply)
	require.False(t, plan.Delete || plan.Recover || plan.Allocate)
}

func TestTheQuotaConditionOfAStorageNamesAVolume(t *testing.T) {
	t.Parallel()
	good, bad := glusterVolume(), glusterVolume()
	good.Status.Conditions = []metav1.Condition{{
		Type: storagev1alpha1.ConditionEnforced, Status: metav1.ConditionTrue, ObservedGeneration: 2,
	}}
	bad.Status.Conditions = []metav1.Condition{{
		Type: storagev1alpha1.ConditionEnforced, Status: metav1.ConditionFalse, ObservedGeneration: 2, Message: "cause",
	}}
	storage := Storage{Native: true}
	managed := kadaluv1alpha1.QuotaManaged
	c := quotaEnforced(storage, managed, CountLimits([]*storagev1alpha1.GlusterVolume{good, bad}))
	require.Equal(t, string(kadaluv1alpha1.ReasonNotAllEnforced), c.Reason)
	require.Contains(t, c.Message, "1 of 2 sizes are enforced. GlusterVolume "+bad.Name+": cause")
	c = quotaEnforced(storage, managed, CountLimits([]*storagev1alpha1.GlusterVolume{good}))
	require.Equal(t, metav1.ConditionTrue, c.Status)
	good.Generation = 3
	c = quotaEnforced(storage, managed, CountLimits([]*storagev1alpha1.GlusterVolume{good}))
	require.Equal(t, metav1.ConditionFalse, c.Status, "the condition belongs to the previous size")
}

func TestConnectionsAreReadFromTheClient(t *testing.T) {
	t.Parallel()
	require.True(t, Connected("[xlator.protocol.client.r3-client-0.priv]\nconnected = 1\n"))
	require.False(t, Connected("[xlator.protocol.client.r3-client-0.priv]\nconnected = 0\n"))
	require.True(t, Connected(""))
}

func FuzzSnapshotIDs(f *testing.F) {
	for _, id := range []string{"default/ext-storage/@sha256-00", "a/b/@..", "a/b/c", "//@"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		v, err := ParseSnapshotID(id)
		if err != nil {
			return
		}
		require.Equal(t, id, SnapshotID(v))
		_, err = ParseVolumeID(id)
		require.Error(t, err, "the id of a snapshot is never the id of a volume")
		require.NotContains(t, SnapshotDataPath(v.Directory), "..")
	})
}
