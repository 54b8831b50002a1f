//go:build linux

package quotakernel

import (
	"errors"
	"testing"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
)

// Limits returns all limits of a file system in bytes, by project.
func Limits(t testing.TB, fileSystem string) map[uint32]uint64 {
	t.Helper()
	dir, err := node.OpenDir(fileSystem)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	quota, found := xfsquota.New(dir), map[uint32]uint64{}
	for next := uint32(1); ; {
		usage, err := quota.Next(next)
		if errors.Is(err, xfsquota.ErrNoMoreProjects) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if usage.LimitBytes > 0 {
			found[usage.Project] = usage.LimitBytes
		}
		next = usage.Project + 1
	}
}
