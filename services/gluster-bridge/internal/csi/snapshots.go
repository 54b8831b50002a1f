//go:build linux

package csi

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// CreateSnapshot records a snapshot and starts the copy of the directory. The snapshot is ready when the copy is
// complete. Files that are written in the meantime are copied before or after the write: it is not crash-consistent.
func (c *Controller) CreateSnapshot(
	ctx context.Context, r *csi.CreateSnapshotRequest,
) (*csi.CreateSnapshotResponse, error) {
	if r.GetName() == "" || r.GetSourceVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "name and source_volume_id must be set")
	}
	for name := range r.GetParameters() {
		if !strings.HasPrefix(name, "csi.storage.k8s.io/") {
			return nil, status.Errorf(codes.InvalidArgument, "parameter %q of the VolumeSnapshotClass is not known; remove it",
				name)
		}
	}
	s, source, volume, err := c.find(ctx, r.GetSourceVolumeId())
	if err != nil {
		return nil, err
	}
	if source.Whole() {
		return nil, status.Errorf(codes.InvalidArgument,
			"source_volume_id %q: a whole GlusterFS volume has no snapshots of its directories", source)
	}
	id := decide.VolumeID{Namespace: s.Namespace, Storage: s.Name, Directory: decide.DirectoryOf(r.GetName())}
	held, err := c.lock(snapshotLock(id), "CreateSnapshot")
	if err != nil {
		return nil, err
	}
	defer held.release()
	found := make(chan decide.SnapshotInfo, 1)
	err = c.do(ctx, held, s, func(ctx context.Context, t *gluster.Tree) error {
		want := decide.SnapshotInfo{
			Name: r.GetName(), Storage: s.ID(), Source: source.Directory, Size: volume.Size,
			Created: time.Now().UTC().Truncate(time.Second),
		}
		info, err := createSnapshot(ctx, t, id.Directory, want)
		found <- info
		return err
	})
	if err != nil {
		return nil, err
	}
	info := <-found
	if !info.Ready {
		c.copySnapshot(s, id.Directory)
	}
	return &csi.CreateSnapshotResponse{Snapshot: snapshotOf(s, id.Directory, info)}, nil
}

// snapshotLock is the lock of a snapshot, which is not the one of a volume of the same name.
func snapshotLock(id decide.VolumeID) decide.VolumeID {
	id.Directory = "@" + id.Directory
	return id
}

// createSnapshot writes the metadata of a snapshot unless it exists.
func createSnapshot(
	ctx context.Context, t *gluster.Tree, directory string, want decide.SnapshotInfo,
) (decide.SnapshotInfo, error) {
	unlock, err := t.Ledger.Lock(ctx, gluster.SnapshotKey(directory), "CreateSnapshot")
	if err != nil {
		return want, err
	}
	defer unlock()
	if err := t.Ledger.Load(ctx, t, false); err != nil {
		return want, err
	}
	info, found, err := t.Snapshot(directory)
	switch {
	case err != nil:
		return want, status.Errorf(codes.FailedPrecondition, "%v; restore or remove %s", err,
			decide.SnapshotInfoPath(directory))
	case found && (info.Source != want.Source || info.Storage != want.Storage):
		return want, status.Errorf(codes.AlreadyExists, "the snapshot exists with the source %s/%s; use another name",
			info.Storage, info.Source)
	case found:
		return info, nil
	}
	capacity, _, err := t.Size()
	if err != nil {
		return want, err
	}
	if err := t.Ledger.ReserveSnapshot(directory, want, capacity); err != nil {
		return want, status.Error(codes.ResourceExhausted, err.Error())
	}
	if err := t.SetSnapshot(directory, want); err != nil {
		refreshSnapshot(t, directory)
		return want, err
	}
	return want, nil
}

// refreshSnapshot reads the metadata again after a failed write, which may have had an effect.
func refreshSnapshot(t *gluster.Tree, directory string) {
	switch info, found, err := t.Snapshot(directory); {
	case err == nil && found:
		_ = t.Ledger.ReserveSnapshot(directory, info, 1<<62)
	case err == nil:
		t.Ledger.DropSnapshot(directory)
	}
}

func snapshotOf(s decide.Storage, directory string, info decide.SnapshotInfo) *csi.Snapshot {
	id := decide.VolumeID{Namespace: s.Namespace, Storage: s.Name, Directory: directory}
	source := id
	source.Directory = info.Source
	return &csi.Snapshot{
		SnapshotId: decide.SnapshotID(id), SourceVolumeId: source.String(), SizeBytes: info.Size,
		CreationTime: timestamppb.New(info.Created), ReadyToUse: info.Ready,
	}
}

// DeleteSnapshot stops the copy of a snapshot and removes it.
func (c *Controller) DeleteSnapshot(
	ctx context.Context, r *csi.DeleteSnapshotRequest,
) (*csi.DeleteSnapshotResponse, error) {
	if r.GetSnapshotId() == "" {
		return nil, status.Error(codes.InvalidArgument, "snapshot_id is missing")
	}
	id, err := decide.ParseSnapshotID(r.GetSnapshotId())
	if err != nil {
		// No snapshot of this driver has such an id, so it does not exist.
		return &csi.DeleteSnapshotResponse{}, nil //nolint:nilerr // the specification asks for OK
	}
	s, gone, err := c.Storages.Get(id.StorageID())
	if gone {
		return nil, status.Errorf(codes.FailedPrecondition,
			"KadaluStorage %s does not exist; create it again, or remove the finalizer of the VolumeSnapshotContent to keep "+
				"the data", id.StorageID())
	}
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	held, err := c.lock(snapshotLock(id), "DeleteSnapshot")
	if err != nil {
		return nil, err
	}
	defer held.release()
	if err := c.cancelCopy(ctx, copyKey(s, gluster.SnapshotKey(id.Directory))); err != nil {
		return nil, err
	}
	unique := uuid.NewString()
	err = c.do(ctx, held, s, func(ctx context.Context, t *gluster.Tree) error {
		unlock, err := t.Ledger.Lock(ctx, gluster.SnapshotKey(id.Directory), "DeleteSnapshot")
		if err != nil {
			return err
		}
		defer unlock()
		if err := t.Ledger.Load(ctx, t, false); err != nil {
			return err
		}
		if err := unused(t, gluster.SnapshotKey(id.Directory)); err != nil {
			return err
		}
		if info, found, err := t.Snapshot(id.Directory); err == nil && found && info.Storage != s.ID() {
			return status.Errorf(codes.FailedPrecondition, "the snapshot belongs to KadaluStorage %s", info.Storage)
		}
		if err := t.RemoveSnapshot(id.Directory, unique); err != nil {
			refreshSnapshot(t, id.Directory)
			return err
		}
		t.Ledger.DropSnapshot(id.Directory)
		return nil
	})
	if err != nil {
		return nil, err
	}
	go c.emptyTrash(context.WithoutCancel(ctx), s)
	return &csi.DeleteSnapshotResponse{}, nil
}

// unused returns an error if a volume or snapshot is being copied.
func unused(t *gluster.Tree, source string) error {
	if by := t.Ledger.CopiedBy(source); by != "" {
		return status.Errorf(codes.Aborted, "%s is being copied for %s; try again", source, by)
	}
	return nil
}

// ListSnapshots lists the snapshots of all storages by id, with tokens as in ListVolumes.
func (c *Controller) ListSnapshots(
	ctx context.Context, r *csi.ListSnapshotsRequest,
) (*csi.ListSnapshotsResponse, error) {
	if r.GetMaxEntries() < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "max_entries %d: must not be negative", r.GetMaxEntries())
	}
	after := r.GetStartingToken()
	if after != "" {
		if _, err := decide.ParseSnapshotID(after); err != nil {
			return nil, status.Errorf(codes.Aborted, "starting_token %q: is not from an earlier response; start again", after)
		}
	}
	var all []*csi.Snapshot
	for _, s := range c.Storages.All() {
		if !s.Native {
			continue
		}
		snapshots, err := c.snapshotsOf(ctx, s)
		if err != nil {
			c.Log.Warn("the snapshots of a storage are not listed", "storage", s.ID(), "error", err)
		}
		all = append(all, snapshots...)
	}
	slices.SortFunc(all, func(a, b *csi.Snapshot) int { return cmp.Compare(a.GetSnapshotId(), b.GetSnapshotId()) })
	response := &csi.ListSnapshotsResponse{}
	for _, s := range all {
		if s.GetSnapshotId() <= after || r.GetSnapshotId() != "" && s.GetSnapshotId() != r.GetSnapshotId() ||
			r.GetSourceVolumeId() != "" && s.GetSourceVolumeId() != r.GetSourceVolumeId() {
			continue
		}
		if n := len(response.Entries); r.GetMaxEntries() > 0 && n == int(r.GetMaxEntries()) {
			response.NextToken = response.Entries[n-1].GetSnapshot().GetSnapshotId()
			break
		}
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: s})
	}
	return response, nil
}

func (c *Controller) snapshotsOf(ctx context.Context, s decide.Storage) ([]*csi.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	found := make(chan []*csi.Snapshot, 1)
	err := c.Pool.Of(s.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		if err := t.Ledger.Load(ctx, t, false); err != nil {
			return err
		}
		var all []*csi.Snapshot
		for _, snapshot := range t.Ledger.Snapshots() {
			if snapshot.Storage == s.ID() {
				all = append(all, snapshotOf(s, snapshot.Directory, snapshot.SnapshotInfo))
			}
		}
		found <- all
		return nil
	}, func() {})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// origin is what a new volume is copied from.
type origin struct {
	// source is the value of Info.Source, or empty.
	source string
	// size is the smallest size of the volume.
	size int64
}

// originOf returns what a request copies. A snapshot that is not ready yet is waited for.
func (c *Controller) originOf(ctx context.Context, s decide.Storage, from *csi.VolumeContentSource) (origin, error) {
	switch {
	case from == nil:
		return origin{}, nil
	case !s.Native:
		return origin{}, status.Error(codes.InvalidArgument,
			"volume_content_source: a whole GlusterFS volume cannot be a copy")
	case from.GetVolume() != nil:
		volumeID := from.GetVolume().GetVolumeId()
		source, id, info, err := c.find(ctx, volumeID)
		if err != nil {
			return origin{}, err
		}
		if source.ID() != s.ID() || id.Whole() {
			return origin{}, status.Errorf(codes.InvalidArgument,
				"volume_content_source: volume %q is not a directory of KadaluStorage %s", volumeID, s.ID())
		}
		if info.Copying {
			return origin{}, status.Errorf(codes.Unavailable, "volume_content_source: volume %q is being copied", volumeID)
		}
		return origin{decide.SourceVolume + id.Directory, info.Size}, nil
	case from.GetSnapshot() != nil:
		return c.originOfSnapshot(ctx, s, from.GetSnapshot().GetSnapshotId())
	}
	return origin{}, status.Error(codes.InvalidArgument, "volume_content_source: the type is not supported")
}

func (c *Controller) originOfSnapshot(ctx context.Context, s decide.Storage, snapshotID string) (origin, error) {
	id, err := decide.ParseSnapshotID(snapshotID)
	if err != nil {
		return origin{}, status.Errorf(codes.NotFound, "volume_content_source: snapshot %q: %v", snapshotID, err)
	}
	if id.StorageID() != s.ID() {
		return origin{}, status.Errorf(codes.InvalidArgument,
			"volume_content_source: snapshot %q is not a snapshot of KadaluStorage %s", snapshotID, s.ID())
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	for {
		read := make(chan decide.SnapshotInfo, 1)
		err := c.Pool.Of(s.Volume).Do(ctx, func(_ context.Context, t *gluster.Tree) error {
			info, found, err := t.Snapshot(id.Directory)
			if err == nil && !found {
				err = status.Errorf(codes.NotFound, "volume_content_source: snapshot %q does not exist", snapshotID)
			}
			read <- info
			return err
		}, func() {})
		if err != nil {
			return origin{}, statusOf("storage "+s.ID(), err)
		}
		info := <-read
		if info.Ready {
			return origin{gluster.SnapshotKey(id.Directory), info.Size}, nil
		}
		job := c.copySnapshot(s, id.Directory)
		select {
		case <-job.done:
			if job.err != nil {
				return origin{}, status.Errorf(codes.Unavailable, "volume_content_source: copy snapshot %q: %v", snapshotID,
					job.err)
			}
		case <-ctx.Done():
			return origin{}, status.Errorf(codes.Unavailable, "volume_content_source: snapshot %q is not ready", snapshotID)
		}
	}
}
