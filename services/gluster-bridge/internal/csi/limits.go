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
		return c.waitForBricks(ctx, s, id, written)
	case kadaluv1alpha1.QuotaExternal:
		return c.waitForStatfs(ctx, s, id, info)
	}
	return nil
}

// recheck is the time between two looks at the connections of the client.
const recheck = time.Second

// waitForBricks waits until every online brick has acknowledged a size. A brick is offline if the client is not
// connected to it.
func (c *Controller) waitForBricks(
	ctx context.Context, s decide.Storage, id decide.VolumeID, written *storagev1alpha1.GlusterVolume,
) error {
	for {
		bricks, offline, err := c.bricks(ctx, s)
		if err != nil {
			return statusOf("storage "+s.ID(), err)
		}
		var reported decide.Acknowledgement
		var changed <-chan struct{}
		timer := time.NewTimer(recheck)
		for again := true; again; {
			if reported, changed = c.Limits.Reported(written, bricks, offline); reported.Done() {
				timer.Stop()
				return nil
			}
			if reported.Blocked {
				timer.Stop()
				return status.Errorf(codes.Unavailable, "volume %s: %v", id, reported)
			}
			select {
			case <-changed:
			case <-timer.C:
				again = false
			case <-ctx.Done():
				timer.Stop()
				return status.Errorf(codes.DeadlineExceeded, "volume %s: %v", id, reported)
			}
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
	shown := func(ctx context.Context, first bool) (bool, error) {
		found := make(chan bool, 1)
		err := c.Pool.Of(s.Volume).Do(ctx, func(_ context.Context, t *gluster.Tree) error {
			shows, err := t.Shows(id.Directory, info.Size)
			switch {
			case err != nil:
			case shows:
				err = t.Unspool(id.Directory)
			case first:
				err = t.Spool(id.Directory, info)
			}
			found <- shows
			return err
		}, func() {})
		if err != nil {
			return false, err
		}
		return <-found, nil
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for first := true; ; first = false {
		done, err := shown(ctx, first)
		switch {
		case done && err == nil:
			c.Limits.Shown(id, info.Size)
			return nil
		case err != nil && ctx.Err() == nil:
			return statusOf("storage "+s.ID(), err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return status.Errorf(codes.DeadlineExceeded, "volume %s: statfs of %s does not show the size %d; check quotad on "+
				"the nodes of the bricks", id, decide.DataPath(id.Directory), info.Size)
		}
	}
}
