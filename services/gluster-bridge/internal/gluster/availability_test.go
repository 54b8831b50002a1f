//go:build linux

package gluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

func TestOnlyMountsOfPodsKeepAClient(t *testing.T) {
	t.Parallel()
	pool := &Pool{Root: t.TempDir(), Records: true}
	h := pool.Of(decide.Mountable{Hosts: []string{"node1"}, Port: decide.DefaultPort, Name: "r3"})
	h.recorder.Mounted = deviceJSON{Device: "0:50"}
	h.recorder.Ended = []deviceJSON{{Device: "0:40"}}
	own := []node.Mount{
		{Device: "8:1", Point: "/"},
		{Device: "0:50", Point: h.Point},
		// The container of the node process sees its directory at a second path.
		{Device: "0:50", Point: "/csi/mounts/" + h.Key},
		{Device: "0:51", Point: "/var/lib/kubelet/pods/a/mount"},
	}
	require.False(t, h.usedBy(own))
	for _, device := range []string{"0:50", "0:40"} {
		pod := node.Mount{Device: device, Point: "/var/lib/kubelet/pods/b/mount"}
		require.True(t, h.usedBy(append(own, pod)), device)
	}
}
