package decide

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMountsThatTheKernelHasRemovedBelowAnEndedClientAreRecalled(t *testing.T) {
	t.Parallel()
	tmpfs := Mount{ID: 3, ParentID: 2, Device: "0:61", Root: "/", Point: "/data/sub", Type: "tmpfs"}
	deeper := Mount{ID: 4, ParentID: 3, Device: "8:1", Root: "/x", Point: "/data/sub/x", Type: "ext4"}
	beside := Mount{ID: 5, ParentID: 1, Device: "0:62", Root: "/", Point: "/tmp", Type: "tmpfs"}
	before := append(container(), deeper, tmpfs, beside)
	known := Below(before, []string{"0:50"})
	require.Equal(t, []Mount{tmpfs, deeper}, known, "parents first")
	require.Empty(t, Below(before, []string{"0:51"}), "another client")

	after := append(container(), beside)
	require.Equal(t, append(after, tmpfs, deeper), Recall(after, known))
	found := Replacements("r3-1", Recall(after, known), endedClients, host())
	require.Len(t, found, 1)
	require.Equal(t, "the node has no path to the tmpfs file system that is mounted below it at /data/sub",
		found[0].Refused, "the container would write to the volume instead")

	replaced := []Mount{container()[0], {ID: 6, ParentID: 1, Device: "0:51", Point: "/data", Type: FUSEType}}
	require.Equal(t, replaced, Recall(replaced, known), "their mount was replaced")
	require.Equal(t, before, Recall(before, known))

	loop := []Mount{{ID: 1, ParentID: 2, Device: "0:50", Type: FUSEType}, {ID: 2, ParentID: 1}}
	require.Len(t, Below(loop, []string{"0:50"}), 2, "a table that was read while it changed")
}

func TestKnownMountsAreRecalledIfTheKernelHasReusedTheirIDs(t *testing.T) {
	t.Parallel()
	tmpfs := Mount{ID: 3, ParentID: 2, Device: "0:61", Root: "/", Point: "/data/sub", Type: "tmpfs"}
	deeper := Mount{ID: 4, ParentID: 3, Device: "8:1", Root: "/x", Point: "/data/sub/x", Type: "ext4"}
	known := []Mount{tmpfs, deeper}
	client := Mount{ID: 3, ParentID: 1, Device: "0:52", Root: "/", Point: "/mounts/r3", Type: FUSEType}
	table := append(container(), client)
	renumbered, below := tmpfs, deeper
	renumbered.ID, below.ParentID = 5, 5
	recalled := Recall(table, known)
	require.Equal(t, append(table, renumbered, below), recalled)
	require.Equal(t, recalled, Recall(recalled, []Mount{renumbered, below}))

	elsewhere := []Mount{container()[0], {ID: 2, ParentID: 1, Device: "0:50", Point: "/other", Type: FUSEType}}
	require.Equal(t, elsewhere, Recall(elsewhere, known), "another mount has the id of the parent")
	covering := []Mount{container()[0], {ID: 2, ParentID: 1, Device: "8:1", Point: "/data", Type: "ext4"}}
	require.Equal(t, covering, Recall(covering, known), "a mount of another type has the id of the parent")
}
