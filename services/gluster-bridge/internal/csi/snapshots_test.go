//go:build linux

package csi

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// fill writes files of all kinds into a directory.
func fill(t *testing.T, dir string, files int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	for i := range files {
		content := make([]byte, 1000+i)
		_, _ = rand.Read(content)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a", fmt.Sprintf("file-%d", i)), content, 0o640))
	}
	require.NoError(t, os.Link(filepath.Join(dir, "a", "file-0"), filepath.Join(dir, "a", "b", "link")))
	require.NoError(t, os.Symlink("../../../etc/passwd", filepath.Join(dir, "symlink")))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o622))
	require.NoError(t, os.Lchown(filepath.Join(dir, "a", "file-0"), 1234, 5678))
	require.NoError(t, unix.Setxattr(filepath.Join(dir, "a", "file-0"), "user.weir", []byte("value"), 0))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	require.NoError(t, err)
	require.NoError(t, sparse.Truncate(4<<20))
	_, err = sparse.WriteAt([]byte("data"), 2<<20)
	require.NoError(t, err)
	require.NoError(t, sparse.Close())
	require.NoError(t, os.Chmod(filepath.Join(dir, "a", "b"), 0o2750|os.ModeSetgid))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "a"), time.Unix(1, 0), time.Unix(1e9, 5)))
}

// same fails if two trees differ in names, content, modes, owners, times, links or extended attributes.
func same(t *testing.T, want, got string) {
	t.Helper()
	names := func(root string) (all []string) {
		require.NoError(t, filepath.WalkDir(root, func(name string, _ os.DirEntry, err error) error {
			all = append(all, strings.TrimPrefix(name, root))
			return err
		}))
		return all
	}
	require.Equal(t, names(want), names(got))
	for _, name := range names(want)[1:] {
		var a, b syscall.Stat_t
		require.NoError(t, syscall.Lstat(want+name, &a))
		require.NoError(t, syscall.Lstat(got+name, &b))
		require.Equal(t, []any{a.Mode, a.Uid, a.Gid, a.Nlink, a.Mtim}, []any{b.Mode, b.Uid, b.Gid, b.Nlink, b.Mtim}, name)
		switch a.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
			x, err := os.ReadFile(want + name)
			require.NoError(t, err)
			y, err := os.ReadFile(got + name)
			require.NoError(t, err)
			require.Equal(t, x, y, name)
			require.LessOrEqual(t, b.Blocks, a.Blocks+8, "%s keeps its holes", name)
		case syscall.S_IFLNK:
			x, err := os.Readlink(want + name)
			require.NoError(t, err)
			y, err := os.Readlink(got + name)
			require.NoError(t, err)
			require.Equal(t, x, y)
		}
	}
	value := make([]byte, 16)
	n, err := unix.Getxattr(filepath.Join(got, "a", "file-0"), "user.weir", value)
	require.NoError(t, err)
	require.Equal(t, "value", string(value[:n]))
}

// ready waits until a snapshot is ready.
func ready(t *testing.T, c *Controller, name, source string) *csi.Snapshot {
	t.Helper()
	var snapshot *csi.Snapshot
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		r, err := c.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: source})
		if err == nil && !r.GetSnapshot().GetReadyToUse() {
			err = fmt.Errorf("the snapshot is not ready")
		}
		snapshot = r.GetSnapshot()
		return err
	})
	return snapshot
}

func snapshots(t *testing.T) {
	s := storage("ext-storage", "r3", true)
	_, c, n := driver(t, s)
	created, err := c.CreateVolume(t.Context(), request("pvc-source", "ext-storage", 20<<20))
	require.NoError(t, err)
	source := created.GetVolume().GetVolumeId()
	data := publish(t, n, created.GetVolume(), t.TempDir(), false)
	fill(t, data, 20)

	snapshot := ready(t, c, "snapshot-1", source)
	require.Equal(t, int64(20<<20), snapshot.GetSizeBytes())
	// The copy does not follow the source.
	require.NoError(t, os.WriteFile(filepath.Join(data, "later"), nil, 0o600))
	restored := request("pvc-restored", "ext-storage", 20<<20)
	restored.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshot.GetSnapshotId()},
	}}
	copied, err := c.CreateVolume(t.Context(), restored)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(data, "later")))
	require.NoError(t, os.Chtimes(filepath.Join(data, "a"), time.Unix(1, 0), time.Unix(1e9, 5)))
	same(t, data, publish(t, n, copied.GetVolume(), t.TempDir(), false))

	clone := request("pvc-clone", "ext-storage", 20<<20)
	clone.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
		Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: source},
	}}
	cloned, err := c.CreateVolume(t.Context(), clone)
	require.NoError(t, err)
	same(t, data, publish(t, n, cloned.GetVolume(), t.TempDir(), false))

	// Another source, and a size below that of the source.
	clone.VolumeContentSource = restored.GetVolumeContentSource()
	_, err = c.CreateVolume(t.Context(), clone)
	require.Equal(t, codes.AlreadyExists, status.Code(err), err)
	small := request("pvc-small", "ext-storage", 10<<20)
	small.VolumeContentSource = restored.GetVolumeContentSource()
	_, err = c.CreateVolume(t.Context(), small)
	require.Equal(t, codes.OutOfRange, status.Code(err), err)

	_, err = c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: snapshot.GetSnapshotId()})
	require.NoError(t, err)
	listed, err := c.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{SourceVolumeId: source})
	require.NoError(t, err)
	require.Empty(t, listed.GetEntries())
}

// resumed stops the controller in the middle of a copy. The next one continues it.
func resumed(t *testing.T) {
	s := storage("ext-storage", "r3", true)
	_, c, n := driver(t, s)
	created, err := c.CreateVolume(t.Context(), request("pvc-large", "ext-storage", 20<<20))
	require.NoError(t, err)
	source := created.GetVolume().GetVolumeId()
	data := publish(t, n, created.GetVolume(), t.TempDir(), false)
	const files = 200
	fill(t, data, files)
	var stopped *csi.Snapshot
	partial := 0
	// The copy is as fast as the machine: stop it in its middle, or try again with another name.
	testkit.Eventually(t, 2*time.Minute, func(ctx context.Context) error {
		partial++
		name := fmt.Sprintf("snapshot-resumed-%d", partial)
		r, err := c.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: source})
		if err != nil {
			return err
		}
		require.False(t, r.GetSnapshot().GetReadyToUse(), "the copy is not made in the call")
		id, err := decide.ParseSnapshotID(r.GetSnapshot().GetSnapshotId())
		require.NoError(t, err)
		copied := filepath.Join(c.Pool.Of(s.Volume).Point, decide.SnapshotDataPath(id.Directory), "a")
		for ctx.Err() == nil {
			if entries, _ := os.ReadDir(copied); len(entries) > 0 {
				break
			}
		}
		require.NoError(t, c.cancelCopy(ctx, copyKey(s, decide.SourceSnapshot+id.Directory)))
		entries, _ := os.ReadDir(copied)
		if len(entries) >= files {
			return fmt.Errorf("the copy was complete: %d files", len(entries))
		}
		t.Logf("the controller stopped after %d of %d files", len(entries), files)
		stopped = r.GetSnapshot()
		// A source cannot be deleted while its copy is not complete.
		_, err = c.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: source})
		require.Equal(t, codes.Aborted, status.Code(err), err)
		return nil
	})
	_, next, _ := driver(t, s)
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		listed, err := next.ListSnapshots(ctx, &csi.ListSnapshotsRequest{SnapshotId: stopped.GetSnapshotId()})
		if err == nil && !listed.GetEntries()[0].GetSnapshot().GetReadyToUse() {
			err = fmt.Errorf("the copy is not complete")
		}
		return err
	})
	id, err := decide.ParseSnapshotID(stopped.GetSnapshotId())
	require.NoError(t, err)
	same(t, data, filepath.Join(next.Pool.Of(s.Volume).Point, decide.SnapshotDataPath(id.Directory)))
}
