package decide

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
)

func external(change func(*kadaluv1alpha1.KadaluStorageSpec)) *kadaluv1alpha1.KadaluStorage {
	ks := &kadaluv1alpha1.KadaluStorage{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ext-storage", Generation: 1},
		Spec: kadaluv1alpha1.KadaluStorageSpec{
			Type: TypeExternal,
			Details: []kadaluv1alpha1.GlusterDetails{{
				GlusterNode: "node1", GlusterVolname: "volume_name", GlusterOptionsTitle: "log_level=DEBUG",
			}},
		},
	}
	if change != nil {
		change(&ks.Spec)
	}
	return ks
}

func TestAllSpellingsDescribeTheSameStorage(t *testing.T) {
	t.Parallel()
	s, findings := Resolve(external(nil))
	require.Empty(t, findings)
	require.Equal(t, Storage{
		Namespace: "default", Name: "ext-storage", Native: true, Reclaim: kadaluv1alpha1.ReclaimDelete,
		Volume: Mountable{
			Hosts: []string{"node1"}, Port: 24007, Name: "volume_name", Options: []string{"log-level=DEBUG"},
		},
	}, s)
	s, findings = Resolve(external(func(spec *kadaluv1alpha1.KadaluStorageSpec) {
		d := &spec.Details[0]
		d.GlusterNodes, d.GlusterHosts = []string{"node1", "node2"}, []string{"10.0.0.3", "fd00::1"}
		d.GlusterOptions, d.GlusterOptionsTitle = "log-level=DEBUG, entry-timeout=0.5", ""
	}))
	require.Empty(t, findings)
	require.Equal(t, []string{"node1", "node2", "10.0.0.3", "fd00::1"}, s.Volume.Hosts)
	require.Equal(t, []string{"entry-timeout=0.5", "log-level=DEBUG"}, s.Volume.Options)
	for name, change := range map[string]func(*kadaluv1alpha1.KadaluStorageSpec){
		"kadalu-format":      func(s *kadaluv1alpha1.KadaluStorageSpec) { s.KadaluFormat = ptr.To(false) },
		"kadalu_format":      func(s *kadaluv1alpha1.KadaluStorageSpec) { s.KadaluFormatName = "non-native" },
		"single_pv_per_pool": func(s *kadaluv1alpha1.KadaluStorageSpec) { s.SinglePVPerPool = ptr.To(true) },
	} {
		s, findings := Resolve(external(change))
		require.Empty(t, findings, name)
		require.False(t, s.Native, name)
	}
}

func TestInvalidFieldsAreNamedWithValueAndFix(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*kadaluv1alpha1.KadaluStorageSpec)
		want   string
	}{
		"an option that is not allowed": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterOptionsTitle = "log_level=DEBUG,foo" },
			`spec.details[0].gluster_options "foo": is not an allowed mount option`,
		},
		"a value with a shell command": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterOptionsTitle = "log-level=$(reboot)" },
			`the value of log-level must match`,
		},
		"an option with a newline": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterOptionsTitle = "log-level=DEBUG\n" },
			``,
		},
		"an option that names a file": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterOptionsTitle = "volfile=/etc/shadow" },
			`is not an allowed mount option`,
		},
		"an option that is set twice": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) {
				s.Details[0].GlusterOptionsTitle = "log_level=DEBUG,log-level=INFO"
			},
			`set it once`,
		},
		"a host that is an option": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterNode = "--log-file=/x" },
			`spec.details[0].gluster_node "--log-file=/x": must be a host name or an IP address`,
		},
		"no host": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterNode = "" },
			`must name at least one host`,
		},
		"a volume with a path": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterVolname = "../r3" },
			`spec.details[0].gluster_volname "../r3"`,
		},
		"contradicting formats": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) {
				s.KadaluFormat, s.KadaluFormatName = ptr.To(true), "non-native"
			},
			`contradicts spec.kadalu-format`,
		},
		"two spellings of the options": {
			func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterOptions = "log-level=INFO" },
			`differs from gluster_options`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, findings := Resolve(external(test.change))
			if test.want == "" {
				require.Empty(t, findings, "white space around an option is ignored")
				return
			}
			require.NotEmpty(t, findings)
			require.Contains(t, message(findings), test.want)
		})
	}
}

func TestTheLayoutIsThatOfKadalu(t *testing.T) {
	t.Parallel()
	// XXH64 of the empty string is ef46db3751d8e999.
	require.Equal(t, "subvol/ef/46", DataPath(""))
	name := "pvc-8dc0b5a5-0b1a-4d5a-9a5a-1c2d3e4f5a6b"
	require.Equal(t, name, DirectoryOf(name))
	require.Equal(t, strings.TrimPrefix(DataPath(name), DataRoot)+".json", strings.TrimPrefix(InfoPath(name), InfoRoot))
	info := NewInfo(name, 1<<30)
	parsed, err := ParseInfo(name, info.Encode())
	require.NoError(t, err)
	require.Equal(t, info, parsed)
	kadalu, err := ParseInfo(name, []byte(`{"size": 1048576, "path_prefix": "`+info.PathPrefix+`", "other": 1}`))
	require.NoError(t, err)
	require.Equal(t, int64(1<<20), kadalu.Size)
}

func TestDamagedMetadataIsRejected(t *testing.T) {
	t.Parallel()
	prefix := NewInfo("a", 1).PathPrefix
	for _, data := range []string{
		``, `{`, `{"size":`, `null`, `[]`, `{"size":0,"path_prefix":"` + prefix + `"}`,
		`{"size":-1,"path_prefix":"` + prefix + `"}`, `{"size":1,"path_prefix":"../.."}`,
		`{"size":1e30,"path_prefix":"` + prefix + `"}`, `{"size":1,"path_prefix":"` + prefix + `","project_id":-5}`,
	} {
		_, err := ParseInfo("a", []byte(data))
		require.Error(t, err, data)
	}
}

func TestVolumesAreRefusedIfTheSizeOfADirectoryCannotBeLimited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		graph   Graph
		version string
		native  bool
		want    string
	}{
		"replicate":                       {Graph{Distribute: 1, Replicas: 3}, "10.3", true, ""},
		"distributed":                     {Graph{Distribute: 2, Replicas: 3}, "10.3", true, "distributed over 2 subvolumes"},
		"distributed whole volume":        {Graph{Distribute: 2, Replicas: 3}, "10.3", false, ""},
		"sharded":                         {Graph{Distribute: 1, Replicas: 3, Sharded: true}, "10.3", true, "features.shard"},
		"an old client":                   {Graph{Distribute: 1, Replicas: 3}, "5.13", false, `version "5.13"`},
		"a client of an unknown version":  {Graph{Distribute: 1, Replicas: 3}, "", true, "use an image with version 6"},
		"the oldest version with support": {Graph{Distribute: 1, Replicas: 1}, "6.0", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problem := Compatible(test.graph, test.version, test.native).Problem
			if test.want == "" {
				require.Empty(t, problem)
			} else {
				require.Contains(t, problem, test.want)
			}
		})
	}
}

const volfile = `volume r3-client-0
    type protocol/client
    option remote-subvolume /bricks/r3
    option remote-host 10.0.0.1
    option volume-id 78cf716c-01d6-444b-a8e6-7209ef0bc963
    option password dd3893a6
end-volume

volume r3-client-1
    type protocol/client
    option remote-subvolume /bricks/r3
    option remote-host 10.0.0.2
end-volume

volume r3-client-2
    type protocol/client
    option remote-subvolume /bricks/r3
    option remote-host 10.0.0.3
end-volume

volume r3-replicate-0
    type cluster/replicate
    option arbiter-count 1
    subvolumes r3-client-0 r3-client-1 r3-client-2
end-volume

volume r3-dht
    type cluster/distribute
    subvolumes r3-replicate-0
end-volume
`

func TestAVolfileShowsTheTypeOfTheVolume(t *testing.T) {
	t.Parallel()
	g, err := ParseVolfile(volfile)
	require.NoError(t, err)
	require.Equal(t, Graph{
		ID: "78cf716c-01d6-444b-a8e6-7209ef0bc963", Distribute: 1, Replicas: 3, Arbiters: 1,
		Bricks:  []string{"10.0.0.1:/bricks/r3", "10.0.0.2:/bricks/r3", "10.0.0.3:/bricks/r3"},
		Clients: []string{"r3-client-0", "r3-client-1", "r3-client-2"},
	}, g)
	require.Equal(t, "Arbiter", g.Type())
	data, err := json.Marshal(g)
	require.NoError(t, err)
	require.NotContains(t, string(data), "dd3893a6", "the password is not kept")
}

func TestCapacityIsNeverOvercommitted(t *testing.T) {
	t.Parallel()
	require.NoError(t, Fits(100, 60, 40))
	require.Error(t, Fits(100, 60, 41))
	require.Error(t, Fits(100, 120, 1))
	require.Error(t, Fits(100, -1, 1), "a sum that overflowed leaves no space")
	require.Error(t, Fits(1<<62, 1<<62, 1<<62))
}

func TestAStorageOfAnotherNamespaceKeepsTheClass(t *testing.T) {
	t.Parallel()
	ks := external(nil)
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: "kadalu.external.ext-storage", Labels: map[string]string{"app.kubernetes.io/managed-by": Manager},
		},
		Parameters: map[string]string{ParameterStorage: "ext-storage", ParameterNamespace: "other"},
	}
	plan := Decide(State{Storage: ks, Class: class})
	require.Nil(t, plan.Class)
	require.False(t, plan.Usable)
	require.Equal(t, string(kadaluv1alpha1.ReasonNameConflict), plan.Status.Conditions[0].Reason)

	now := metav1.Now()
	ks.DeletionTimestamp, ks.Finalizers = &now, []string{Finalizer}
	plan = Decide(State{Storage: ks, Class: class})
	require.Nil(t, plan.DeleteClass, "the class of the other storage stays")
	require.Empty(t, *plan.Finalizers)
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	probe := &Probe{
		Version: "10.3", Graph: Graph{Distribute: 1, Replicas: 3}, CapacityBytes: 3 << 30, ProvisionedBytes: 1 << 30,
	}
	distributed := &Probe{Version: "10.3", Graph: Graph{Distribute: 2}}
	invalid := external(func(s *kadaluv1alpha1.KadaluStorageSpec) { s.Details[0].GlusterOptionsTitle = "foo" })
	failed := &Probe{Err: errors.New("no host serves the volume")}
	for name, test := range map[string]struct {
		state  State
		reason kadaluv1alpha1.StorageReason
		usable bool
	}{
		"a storage that was not mounted yet":  {State{}, kadaluv1alpha1.ReasonNotProbed, true},
		"a storage that is mounted":           {State{Probe: probe}, kadaluv1alpha1.ReasonStorageReady, true},
		"a storage that cannot be mounted":    {State{Probe: failed}, kadaluv1alpha1.ReasonMountFailed, true},
		"a storage of kadalu's operator":      {State{Operator: "a/b"}, kadaluv1alpha1.ReasonKadaluOperator, false},
		"a storage with an invalid option":    {State{Storage: invalid}, kadaluv1alpha1.ReasonInvalidStorage, false},
		"a storage with a distributed volume": {State{Probe: distributed}, kadaluv1alpha1.ReasonDistributed, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.state.Storage == nil {
				test.state.Storage = external(nil)
			}
			plan := Decide(test.state)
			require.Equal(t, string(test.reason), plan.Status.Conditions[0].Reason)
			require.Equal(t, test.usable, plan.Usable)
			require.Equal(t, test.usable, plan.Class != nil)
		})
	}
	now := metav1.Now()
	ks := external(nil)
	ks.DeletionTimestamp, ks.Finalizers = &now, []string{Finalizer, "other"}
	plan := Decide(State{Storage: ks, PersistentVolumes: 2, Probe: probe})
	require.Nil(t, plan.Finalizers, "the deletion waits for the PersistentVolumes")
	require.Equal(t, string(kadaluv1alpha1.ReasonVolumesExist), plan.Status.Conditions[0].Reason)
	plan = Decide(State{Storage: ks})
	require.Equal(t, []string{"other"}, *plan.Finalizers)
}

func FuzzParseVolumeID(f *testing.F) {
	for _, id := range []string{
		"default/ext-storage/pvc-1", "default/ext-storage/", "a/b/../c", "a/b/..", "//", "a/b/archived-x",
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		v, err := ParseVolumeID(id)
		if err != nil {
			return
		}
		require.Equal(t, id, v.String())
		path := DataPath(v.Directory)
		if strings.Contains(path, "..") || !strings.HasPrefix(path, DataRoot+"/") {
			t.Fatalf("%q leads to %q", id, path)
		}
	})
}

func FuzzNamesAreSafeDirectories(f *testing.F) {
	for _, name := range []string{
		"pvc-1", "../../etc/passwd", "", ".", "..", "a/b", "archived-x", "sha256-0", strings.Repeat("a", 200),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		id := VolumeID{"ns", "storage", DirectoryOf(name)}
		parsed, err := ParseVolumeID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, parsed)
	})
}

func FuzzParsers(f *testing.F) {
	f.Add(volfile, `{"size":1,"path_prefix":"subvol/aa/bb"}`)
	f.Fuzz(func(t *testing.T, volfile, info string) {
		if g, err := ParseVolfile(volfile); err == nil {
			_ = g.Type()
			_ = Compatible(g, "10.3", true)
			_ = g.LimitedBricks()
			for _, client := range g.Clients {
				_, err := BrickVolfile(volfile, client)
				require.NoError(t, err)
			}
		}
		if i, err := ParseInfo("a", []byte(info)); err == nil {
			again, err := ParseInfo("a", i.Encode())
			require.NoError(t, err)
			require.Equal(t, i, again)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add("log_level=DEBUG,foo")
	f.Fuzz(func(t *testing.T, given string) {
		options, findings := Options(strings.Split(given, ","))
		again, _ := Options(options)
		require.Equal(t, options, again)
		for _, o := range options {
			require.NotContains(t, o, " ")
			require.NotContains(t, o, "/")
		}
		_ = findings
	})
}
