//go:build linux

package csi

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// Limits are the limits that quotad sets. A nil Limits has none: tests of the CSI services alone use it.
type Limits interface {
	// Projects is the range of the project ids.
	Projects() decide.ProjectRange
	// Taken reports whether a GlusterVolume has a project id.
	Taken(project int64) bool
	// Mode returns the quota mode in effect.
	Mode(decide.Storage) kadaluv1alpha1.QuotaMode
	// Write writes the GlusterVolume of a volume.
	Write(
		ctx context.Context, s decide.Storage, id decide.VolumeID, info decide.Info, volumeID string,
	) (*storagev1alpha1.GlusterVolume, error)
	// Reported returns what the bricks report about a written GlusterVolume, and a channel that is closed after the next
	// change.
	Reported(
		written *storagev1alpha1.GlusterVolume, bricks, offline []string,
	) (decide.Acknowledgement, <-chan struct{})
	// Delete deletes the GlusterVolume of a volume.
	Delete(ctx context.Context, id decide.VolumeID) error
	// Shown records that statfs shows the limit of a volume.
	Shown(id decide.VolumeID, size int64)
}

// limited reports whether volumes of a storage have a GlusterVolume.
func (c *Controller) limited(s decide.Storage) bool { return c.Limits != nil && s.Limited() }

// enforce writes the GlusterVolume of a volume and waits until its size is enforced. The volume exists, so an error has
// a code after which the caller repeats the request: a final one would leave the volume without an owner.
func (c *Controller) enforce(
	ctx context.Context, s decide.Storage, id decide.VolumeID, info decide.Info, graph decide.Graph,
) error {
	if !c.limited(s) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	written, err := c.Limits.Write(ctx, s, id, info, graph.ID)
	if err != nil {
		return status.Errorf(codes.Unavailable, "the volume exists and its GlusterVolume cannot be written: %v", err)
	}
	switch c.Limits.Mode(s) {
	case kadaluv1alpha1.QuotaManaged:
		return c.waitForBricks(ctx, s, id, written, graph.Bricks)
	case kadaluv1alpha1.QuotaExternal:
		return c.waitForStatfs(ctx, s, id, info)
	}
	return nil
}

// The connections of the client are looked at after firstLook, which is longer than quotad usually needs, and then each
// recheck.
const (
	firstLook = 200 * time.Millisecond
	recheck   = time.Second
)

// waitForBricks waits until every online brick has acknowledged a size. A brick is offline if the client is not
// connected to it.
func (c *Controller) waitForBricks(
	ctx context.Context, s decide.Storage, id decide.VolumeID, written *storagev1alpha1.GlusterVolume, bricks []string,
) error {
	var offline []string
	for wait := firstLook; ; wait = recheck {
		// An offline brick that reports an error blocks no volume, so it counts only after the first look.
		done, err := c.reported(ctx, id, written, bricks, offline, wait, wait != firstLook)
		if done || err != nil {
			return err
		}
		if bricks, offline, err = c.bricks(ctx, s); err != nil {
			return statusOf("storage "+s.ID(), err)
		}
	}
}

// reported waits for the reports of the bricks. done is false if the time is over, or if a brick has reported an error
// that does not count.
func (c *Controller) reported(
	ctx context.Context, id decide.VolumeID, written *storagev1alpha1.GlusterVolume, bricks, offline []string,
	wait time.Duration, errorsCount bool,
) (done bool, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		reported, changed := c.Limits.Reported(written, bricks, offline)
		switch {
		case reported.Done():
			return true, nil
		case reported.Blocked && errorsCount:
			return false, status.Errorf(codes.Unavailable, "volume %s: %v", id, reported)
		case reported.Blocked:
			return false, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, status.Errorf(codes.DeadlineExceeded, "volume %s: %v", id, reported)
		}
	}
}

// bricks returns all bricks of a storage, and those to which the client is not connected.
func (c *Controller) bricks(ctx context.Context, s decide.Storage) (bricks, offline []string, err error) {
	type answer struct{ bricks, offline []string }
	found := make(chan answer, 1)
	err = c.Pool.Of(s.Volume).Do(ctx, func(_ context.Context, t *gluster.Tree) error {
		offline, err := t.Offline()
		found <- answer{t.Client.Graph.Bricks, offline}
		return err
	}, func() {})
	if err != nil {
		return nil, nil, err
	}
	a := <-found
	return a.bricks, a.offline, nil
}

// poll is the time between two calls of statfs.
const poll = 100 * time.Millisecond

// waitForStatfs tells a standalone quotad the size of a volume and waits until statfs shows it.
func (c *Controller) waitForStatfs(
	ctx context.Context, s decide.Storage, id decide.VolumeID, info decide.Info,
) error {
	var last decide.Shown
	shown := func(ctx context.Context, first bool) (decide.Shown, error) {
		found := make(chan decide.Shown, 1)
		err := c.Pool.Of(s.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
			shown, err := t.Shows(ctx, id.Directory, info.Size)
			switch {
			case err != nil:
			case shown.Done():
				err = t.Unspool(id.Directory)
			case first:
				err = t.Spool(id.Directory, info)
			}
			found <- shown
			return err
		}, func() {})
		if err != nil {
			return decide.Shown{}, err
		}
		last = <-found
		return last, nil
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for first := true; ; first = false {
		now, err := shown(ctx, first)
		switch {
		case err == nil && now.Done():
			c.Limits.Shown(id, info.Size)
			return nil
		case err != nil && ctx.Err() == nil:
			return statusOf("storage "+s.ID(), err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return status.Errorf(codes.DeadlineExceeded, "volume %s: statfs of %s does not show the size %d%s", id,
				decide.DataPath(id.Directory), info.Size, last)
		}
	}
}
