//go:build linux

package bricks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/descriptions"
)

func TestDirectoriesAreLimitedGrowAndAreReleased(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	require.NoError(t, os.WriteFile(filepath.Join(v.data(0, "pvc-1"), "old"), make([]byte, mebibyte), 0o600))
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	require.InDelta(t, 7*mebibyte, v.fill(0, "pvc-1"), mebibyte, "data from before the limit counts")

	v.describe("pvc-1", 16*mebibyte, 1<<30)
	v.limited("pvc-1", 1<<30, 16*mebibyte)
	require.InDelta(t, 8*mebibyte, v.fill(0, "pvc-1"), mebibyte, "growth takes effect at once")

	output, code := e.check()
	require.Zero(t, code, output)
	require.Contains(t, output, "Ready")

	v.remove("pvc-1")
	e.eventually(func() error {
		if _, usage := v.quota(0, "pvc-1", 1<<30); usage.LimitBytes != 0 {
			return fmt.Errorf("the limit of a deleted directory is %d", usage.LimitBytes)
		}
		return nil
	})
	// The project id can be given to another directory.
	v.create("pvc-2", 4*mebibyte, 1<<30)
	v.limited("pvc-2", 1<<30, 4*mebibyte)
}

func TestBricksOfOneVolumeAndVolumesWithTheSameDirectoryHaveTheirOwnLimits(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second := e.disk(), e.disk()
	data := e.volume("data", replica3, first+"/data", second+"/data")
	logs := e.volume("logs", disperse, second+"/logs")
	data.create("pvc-1", 8*mebibyte, 1<<30)
	// The bricks of a disperse volume have encoded files. The attribute has the size.
	logs.create("pvc-1", 20*mebibyte, 1<<30+1)
	logs.replace(logs.info(0, "pvc-1"), "\x00\x01encoded")
	require.NoError(t, unix.Setxattr(logs.info(0, "pvc-1"), "user.weir.quota",
		[]byte(description("pvc-1", 20*mebibyte, 1<<30+1)), 0))
	e.run()
	data.limited("pvc-1", 1<<30, 8*mebibyte)
	logs.limited("pvc-1", 1<<30+1, 10*mebibyte)
	for brick := range data.bricks {
		require.InDelta(t, 8*mebibyte, data.fill(brick, "pvc-1"), mebibyte)
	}
	require.InDelta(t, 10*mebibyte, logs.fill(0, "pvc-1"), mebibyte)
}

func TestDirectoriesOfKadaluGetAProjectOrKeepTheirs(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 0)
	v.create("pvc-2", 8*mebibyte, 0)
	v.limit("pvc-2", 4711, 4*mebibyte)
	e.run()
	v.limited("pvc-1", 0, 8*mebibyte)
	v.limited("pvc-2", 4711, 8*mebibyte)
}

func TestLimitsOfOthersAreNotChanged(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1000)
	v.create("pvc-2", 8*mebibyte, 1<<30)
	require.NoError(t, os.MkdirAll(v.data(0, "another"), 0o755))
	v.limit("another", 1000, 5*mebibyte)
	e.run()
	v.limited("pvc-2", 1<<30, 8*mebibyte)
	v.create("pvc-3", 8*mebibyte, 1<<30)
	output, code := e.check()
	require.Equal(t, 1, code, output)
	require.Contains(t, output, "pvc-1: ProjectInUse: project id 1000 is in use on the file system, but not by quotad "+
		"(limit 5242880 bytes, 1 files); it is not changed; give it up with xfs_quota, or use another id")
	require.Contains(t, output, "pvc-3: ProjectInUse: project id 1073741824 belongs to directory "+pathOf("pvc-2"))
	require.Contains(t, output, "project 1000 has a limit of 5242880 bytes that quotad has not set; it is not changed")
	_, usage := v.quota(0, "another", 1000)
	require.EqualValues(t, 5*mebibyte, usage.LimitBytes)
	for _, pv := range []string{"pvc-1", "pvc-3"} {
		of, _ := v.quota(0, pv, 0)
		require.Zero(t, of.ID)
	}
}

// TestDescriptionsWithoutARequestAreFoundSoon has no check within its time: it does not run beside tests that mount
// file systems. kadalu creates descriptions, self-heal replaces them, and gluster-bridge deletes them when the file in
// the spool directory has been removed.
func TestDescriptionsWithoutARequestAreFoundSoon(t *testing.T) {
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	require.NoError(t, os.MkdirAll(v.data(0, "pvc-2"), 0o777))
	e.write(v.info(0, "pvc-2"), description("pvc-2", 8*mebibyte, 0))
	v.limited("pvc-2", 0, 8*mebibyte)
	of, _ := v.quota(0, "pvc-2", 0)
	require.NoError(t, errors.Join(os.Remove(v.info(0, "pvc-2")), os.Remove(v.data(0, "pvc-2"))))
	e.eventually(func() error {
		if _, usage := v.quota(0, "pvc-2", of.ID); usage.LimitBytes != 0 {
			return fmt.Errorf("the limit of a deleted directory is %d", usage.LimitBytes)
		}
		return nil
	})
	v.replace(v.info(0, "pvc-1"), description("pvc-1", 12*mebibyte, 1<<30))
	v.limited("pvc-1", 1<<30, 12*mebibyte)
	// Self-heal creates a file before it writes its content.
	v.replace(v.info(0, "pvc-1"), "")
	e.eventually(func() error {
		if output, _ := e.check(); !strings.Contains(output, "the description is empty") {
			return errors.New(output)
		}
		return nil
	})
	e.write(v.info(0, "pvc-1"), description("pvc-1", 16*mebibyte, 1<<30))
	v.limited("pvc-1", 1<<30, 16*mebibyte)
	// kadalu writes a new size into the existing file, which does not change its directory.
	e.write(v.info(0, "pvc-1"), description("pvc-1", 20*mebibyte, 1<<30))
	v.limited("pvc-1", 1<<30, 20*mebibyte)
}

// TestLimitOfADirectoryThatOutlivesItsDescriptionEndsWithTheDirectory has no event of the removal of the directory.
func TestLimitOfADirectoryThatOutlivesItsDescriptionEndsWithTheDirectory(t *testing.T) {
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	require.NoError(t, os.Remove(v.info(0, "pvc-1")))
	// The events of descriptions are handled in their order.
	v.create("pvc-2", 8*mebibyte, 1<<30+1)
	v.limited("pvc-2", 1<<30+1, 8*mebibyte)
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	require.NoError(t, os.Remove(v.data(0, "pvc-1")))
	e.eventually(func() error {
		if _, usage := v.quota(0, "pvc-1", 1<<30); usage.LimitBytes != 0 {
			return fmt.Errorf("the limit of a deleted directory is %d", usage.LimitBytes)
		}
		return nil
	})
}

// TestDescriptionsInVeryManyDirectoriesAreFoundSoon has more directories than are watched, and no check within its
// time.
func TestDescriptionsInVeryManyDirectoriesAreFoundSoon(t *testing.T) {
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	for i := range descriptions.MaxDirectories {
		require.NoError(t, os.MkdirAll(filepath.Join(v.bricks[0], "info", decide.InfoDirectory(i).String()), 0o755))
	}
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	require.NoError(t, os.MkdirAll(v.data(0, "pvc-2"), 0o777))
	e.write(v.info(0, "pvc-2"), description("pvc-2", 8*mebibyte, 0))
	v.limited("pvc-2", 0, 8*mebibyte)
}

// TestProjectIDOfADeletedDirectoryIsFreeSoonAfterItsLastFile has no check within its time.
func TestProjectIDOfADeletedDirectoryIsFreeSoonAfterItsLastFile(t *testing.T) {
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	file, err := os.Create(filepath.Join(v.data(0, "pvc-1"), "open"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	v.remove("pvc-1")
	e.eventually(func() error {
		if _, usage := v.quota(0, "pvc-1", 1<<30); usage.LimitBytes != 0 || usage.Files == 0 {
			return fmt.Errorf("the project of a deleted directory with an open file has %+v", usage)
		}
		return nil
	})
	v.create("pvc-2", 4*mebibyte, 1<<30)
	e.eventually(func() error {
		if output, _ := e.check(); !strings.Contains(output, "was that of the deleted directory "+pathOf("pvc-1")) {
			return errors.New(output)
		}
		return nil
	})
	require.NoError(t, file.Close())
	v.limited("pvc-2", 1<<30, 4*mebibyte)
}
