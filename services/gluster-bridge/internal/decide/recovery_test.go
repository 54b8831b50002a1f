package decide

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const gluster = "127.1.1.1:/r3"

func container() []Mount {
	return []Mount{
		{ID: 1, ParentID: 99, Device: "0:30", Root: "/", Point: "/", Type: "overlay"},
		{
			ID: 2, ParentID: 1, Device: "0:50", Root: "/subvol/aa/bb/pvc-1", Point: "/data", Type: FUSEType, Source: gluster,
			Options: []string{"ro", "nosuid", "relatime"}, Slave: true,
		},
	}
}

func host() []Mount {
	return []Mount{
		{ID: 10, ParentID: 9, Device: "8:1", Root: "/", Point: "/", Type: "ext4"},
		{ID: 11, ParentID: 10, Device: "0:60", Root: "/", Point: "/pods/a/tmp", Type: "tmpfs"},
	}
}

var endedClients = map[string]Ended{"0:50": {Client: "r3-1", Source: gluster, Point: "/mounts/r3-1"}}

func TestMountsOfAnEndedClientAreReplacedWithTheirOptions(t *testing.T) {
	t.Parallel()
	table := container()
	found := Replacements("r3-1", table, endedClients, host())
	require.Equal(t, []Replacement{{
		Mount: table[1], From: "/mounts/r3-1/subvol/aa/bb/pvc-1", Options: []string{"ro", "nosuid", "relatime"},
	}}, found)
	require.Empty(t, Replacements("r3-2", table, endedClients, host()), "another client")
	table[1].Root += "//deleted"
	again := Replacements("r3-1", table, endedClients, host())
	require.Equal(t, found[0].From, again[0].From, "a directory that the kernel has removed from its cache")
}

func TestOnlyMountsOfTheEndedClientAreReplaced(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Mount){
		"another device":         func(m *Mount) { m.Device = "0:51" },
		"another GlusterFS":      func(m *Mount) { m.Source = "127.1.1.1:/other" },
		"another type":           func(m *Mount) { m.Type = "fuse.sshfs" },
		"a mount that is hidden": func(m *Mount) { m.ID = 98 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := container()
			change(&table[1])
			table = append(table, Mount{ID: 97, ParentID: 98, Point: "/data", Device: "0:99", Type: "tmpfs", Root: "/"})
			require.Empty(t, Replacements("r3-1", table, endedClients, host()))
		})
	}
}

func TestMountsBelowAReplacedMountAreMountedAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		nested        Mount
		from, refused string
	}{
		"a directory of the node": {
			Mount{Device: "8:1", Root: "/pods/a/empty", Type: "ext4", Options: []string{"rw", "relatime"}}, "/pods/a/empty", "",
		},
		"a tmpfs that the node has": {
			Mount{Device: "0:60", Root: "/x", Type: "tmpfs", Options: []string{"rw", "relatime"}}, "/pods/a/tmp/x", "",
		},
		"a file of the node": {
			Mount{Device: "8:1", Root: "/etc/hosts", Type: "ext4", Options: []string{"rw", "relatime"}}, "/etc/hosts", "",
		},
		"the ended client itself": {
			Mount{Device: "0:50", Root: "/subvol/cc", Type: FUSEType, Source: gluster, Options: []string{"rw", "relatime"}},
			"/mounts/r3-1/subvol/cc", "",
		},
		"a tmpfs that only the container has": {
			Mount{Device: "0:61", Root: "/", Type: "tmpfs"}, "",
			"the node has no path to the tmpfs file system that is mounted below it at /data/sub",
		},
		"a directory that another mount covers on the node": {
			Mount{Device: "8:1", Root: "/pods/a/tmp/y", Type: "ext4"}, "",
			"the node has no path to the ext4 file system that is mounted below it at /data/sub",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.nested.ID, test.nested.ParentID, test.nested.Point = 3, 2, "/data/sub"
			found := Replacements("r3-1", append(container(), test.nested), endedClients, host())
			require.Len(t, found, 1)
			require.Equal(t, test.refused, found[0].Refused)
			require.Len(t, found[0].Nested, 1)
			require.Equal(t, test.from, found[0].Nested[0].From)
			require.Equal(t, "/mounts/r3-1/subvol/aa/bb/pvc-1/sub", found[0].Nested[0].Inside)
		})
	}
}

func TestAMountThatCannotBeReplacedHasAReason(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*Mount, *Ended)
		want   string
	}{
		"no new client": {func(_ *Mount, e *Ended) { e.Point = "" }, "the volume r3-1 cannot be mounted"},
		"a user namespace": {
			func(m *Mount, _ *Ended) { m.Options = append(m.Options, "idmapped") }, "its pod has a user namespace",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, e := container(), endedClients["0:50"]
			test.change(&table[1], &e)
			found := Replacements("r3-1", table, map[string]Ended{"0:50": e}, host())
			require.Len(t, found, 1)
			require.Equal(t, test.want, found[0].Refused)
		})
	}
}

func TestThePodOfAProcessIsFound(t *testing.T) {
	t.Parallel()
	const uid = "0b3f6d5e-7c1a-4d4e-9f57-2f1d3c4b5a69"
	for cgroup, want := range map[string]string{
		"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0b3f6d5e_7c1a_4d4e_9f57_2f1d3c4b5a69.slice/" +
			"cri-containerd-1f.scope\n": uid,
		"12:cpu:/kubepods/besteffort/pod" + uid + "/1f\n11:memory:/\n": uid,
		"0::/../kubelet-kubepods-pod" + uid + ".slice\n":               uid,
		"0::/system.slice/kubelet.service\n":                           "",
		"0::/podman-0b3f6d5e\n":                                        "",
	} {
		require.Equal(t, want, PodUID(cgroup), cgroup)
	}
}

// FuzzReplacements: a table in any order, with cycles and unknown parents, ends, and a second decision after the plan
// was applied is empty.
func FuzzReplacements(f *testing.F) {
	f.Add([]byte{1, 0, 0, 2, 1, 1, 3, 2, 1, 4, 3, 0})
	f.Add([]byte{1, 1, 1, 2, 3, 1, 3, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var table []Mount
		for ; len(data) >= 3 && len(table) < 32; data = data[3:] {
			m := Mount{
				ID: uint64(data[0] % 16), ParentID: uint64(data[1] % 16), Device: "8:1", Root: "/a", Type: "ext4",
				Point: "/" + strings.Repeat("p/", int(data[2]>>4)) + "p", Options: []string{"relatime"},
			}
			if data[2]&1 == 1 {
				m.Device, m.Type, m.Source = "0:50", FUSEType, gluster
			}
			table = append(table, m)
		}
		replaced := map[uint64]bool{}
		for _, r := range Replacements("r3-1", table, endedClients, host()) {
			if r.Refused == "" && !strings.HasPrefix(r.From, "/mounts/r3-1/") {
				t.Fatalf("%+v", r)
			}
			replaced[r.Mount.ID] = true
			for _, n := range r.Nested {
				replaced[n.Mount.ID] = true
			}
		}
		for i := range table {
			if replaced[table[i].ID] {
				table[i].Device = "0:70"
			}
		}
		if again := Replacements("r3-1", table, endedClients, host()); len(again) > 0 {
			// A mount below one that has ended is replaced with it, unless that one is covered.
			for _, r := range again {
				if !covered(r.Mount, table) && replaced[r.Mount.ID] {
					t.Fatalf("decided again: %+v", r)
				}
			}
		}
	})
}
