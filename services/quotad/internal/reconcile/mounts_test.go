//go:build linux

package reconcile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/node"
)

func TestMountOfAPathIsTheLastOneOfTheLongestDirectory(t *testing.T) {
	t.Parallel()
	const table = `20 1 8:1 / / rw - ext4 /dev/sda1 rw
30 20 8:2 / /bricks rw - xfs /dev/sdb1 rw,prjquota
31 20 8:3 / /bricks-other rw - xfs /dev/sdc1 rw
32 30 8:4 / /bricks/data rw - xfs /dev/sdd1 rw,prjquota
`
	describe := func(table, path string) string {
		mounts, err := node.ParseMounts(strings.NewReader(table))
		require.NoError(t, err)
		return mountOf(mounts, path)
	}
	is := func(path, like string) {
		require.Equal(t, describe(table, like), describe(table, path), path)
	}
	is("/bricks/a/brick", "/bricks")
	is("/bricks-others/brick", "/")
	is("/bricks/data", "/bricks/data/brick")
	for name, changed := range map[string]string{
		"mounted over":   table + "40 32 8:5 / /bricks/data rw - xfs /dev/sde1 rw,prjquota\n",
		"unmounted":      strings.Replace(table, "32 30 8:4 / /bricks/data rw", "32 30 8:4 / /elsewhere rw", 1),
		"mounted again":  strings.Replace(table, "32 30", "41 30", 1),
		"read-only":      strings.Replace(table, "/bricks/data rw", "/bricks/data ro", 1),
		"shut down":      strings.Replace(table, "sdd1 rw", "sdd1 rw,shutdown", 1),
		"other options":  strings.Replace(table, "sdd1 rw,prjquota", "sdd1 rw", 1),
		"another device": strings.Replace(table, "8:4", "8:9", 1),
	} {
		require.NotEqual(t, describe(table, "/bricks/data/brick"), describe(changed, "/bricks/data/brick"), name)
		require.Equal(t, describe(table, "/bricks/brick"), describe(changed, "/bricks/brick"), name)
	}
	require.Equal(t, describe(table, "/bricks/data"),
		describe(table+"50 20 0:99 / /pods/1 rw - tmpfs tmpfs rw\n", "/bricks/data"), "the mount of a pod")
}

func TestOnlyVolumesWhoseMountsHaveChangedAreChecked(t *testing.T) {
	t.Parallel()
	var enqueued []controller.Key
	r := newReconciler(t, &toggled{isOn: true}, func(k controller.Key) { enqueued = append(enqueued, k) })
	_, err := r.Reconcile(t.Context(), Discover)
	require.NoError(t, err)
	key := controller.Key{Namespace: volume}
	require.Equal(t, []controller.Key{key}, enqueued)
	_, err = r.Reconcile(t.Context(), key)
	require.NoError(t, err)
	enqueued = nil
	r.MountsChanged()
	require.Empty(t, enqueued, "the mount of the brick is that of the check")
	for id := range r.mounts {
		r.mounts[id] = "another"
	}
	retried := 0
	r.Remounted = func() { retried++ }
	r.MountsChanged()
	require.Equal(t, []controller.Key{key}, enqueued)
	require.Equal(t, 1, retried, "a brick that could not be watched is tried again")
	r.MountsChanged()
	require.Len(t, enqueued, 1)
	require.Equal(t, 1, retried)
}
