//go:build linux

package csi

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// want is what a request asks for.
type want struct {
	name        string
	size, limit int64
	source      string
}

type made struct {
	info  decide.Info
	graph decide.Graph
}

// make creates a volume on its storage unless it exists.
func (c *Controller) make(
	ctx context.Context, held *hold, s decide.Storage, id decide.VolumeID, w want,
) (decide.Info, decide.Graph, error) {
	found := make(chan made, 1)
	err := c.do(ctx, held, s, func(ctx context.Context, t *gluster.Tree) error {
		if err := compatible(t.Client, s); err != nil {
			return err
		}
		unlock, err := t.Ledger.Lock(ctx, id.Directory, "CreateVolume")
		if err != nil {
			return err
		}
		defer unlock()
		var info decide.Info
		if s.Native {
			info, err = c.create(ctx, t, s, id, w)
		} else {
			info, err = c.assign(t, s, w.name, w.size)
		}
		found <- made{info, t.Client.Graph}
		return err
	})
	if err != nil {
		return decide.Info{}, decide.Graph{}, err
	}
	m := <-found
	return m.info, m.graph, nil
}

// compatible refuses volumes on which the size of a directory cannot be limited. The check is repeated for each volume
// because an administrator can change a GlusterFS volume at any time.
func compatible(client gluster.Client, s decide.Storage) error {
	if v := decide.Compatible(client.Graph, client.Version, s.Native); v.Problem != "" {
		return status.Error(codes.FailedPrecondition, v.Problem)
	}
	return nil
}

// create creates a directory unless it exists.
func (c *Controller) create(
	ctx context.Context, t *gluster.Tree, s decide.Storage, id decide.VolumeID, w want,
) (decide.Info, error) {
	if err := t.Ledger.Load(ctx, t, false); err != nil {
		return decide.Info{}, err
	}
	info, found, err := t.Info(id.Directory)
	if err != nil {
		return info, status.Errorf(codes.FailedPrecondition, "%v; restore or remove %s", err, decide.InfoPath(id.Directory))
	}
	if found {
		if err := c.owned(s, info); err != nil {
			return info, status.Error(codes.AlreadyExists, err.Error())
		}
		if err := decide.SameVolume(info, w.name, w.size, w.limit, w.source); err != nil {
			return info, status.Error(codes.AlreadyExists, err.Error())
		}
		if err := t.Ensure(id.Directory); err != nil {
			return info, err
		}
		ids, taken := c.projects(s)
		return t.Adopt(id, info, ids, taken)
	}
	// A directory without metadata is the data of a volume whose reclaim policy was retain, or of another program.
	if exists, err := t.Exists(id.Directory); err != nil {
		return info, err
	} else if exists {
		return info, status.Errorf(codes.AlreadyExists, "%s exists without metadata; move it to another place",
			decide.DataPath(id.Directory))
	}
	info = decide.NewInfo(w.name, w.size)
	info.Storage, info.Source, info.Copying = s.ID(), w.source, w.source != ""
	ids, taken := c.projects(s)
	if info, err = t.Reserve(id, info, ids, taken); err != nil {
		return info, status.Error(codes.ResourceExhausted, err.Error())
	}
	if err := t.Create(id.Directory, info); err != nil {
		t.Refresh(id.Directory)
		return info, err
	}
	return info, nil
}

// projects returns the range of the project ids of a storage, and a function that reports ids of GlusterVolumes.
func (c *Controller) projects(s decide.Storage) (decide.ProjectRange, func(int64) bool) {
	if !c.limited(s) {
		return decide.ProjectRange{}, nil
	}
	return c.Limits.Projects(), c.Limits.Taken
}

// owned returns an error if a volume belongs to another storage.
func (c *Controller) owned(s decide.Storage, info decide.Info) error {
	if info.Storage == "" || info.Storage == s.ID() {
		return nil
	}
	if _, gone, _ := c.Storages.Get(info.Storage); gone {
		return nil
	}
	return fmt.Errorf("the directory belongs to a volume of KadaluStorage %s, which has the same GlusterFS volume",
		info.Storage)
}

// assign makes the whole GlusterFS volume one persistent volume.
func (c *Controller) assign(t *gluster.Tree, s decide.Storage, name string, size int64) (decide.Info, error) {
	capacity, _, err := t.Size()
	if err != nil {
		return decide.Info{}, err
	}
	info, taken, err := t.Owner()
	switch {
	case err != nil:
		return info, status.Errorf(codes.FailedPrecondition, "%v; restore or remove %s", err, decide.OwnerFile)
	case taken && info.Name == name:
		return info, nil
	case taken:
		return info, status.Errorf(codes.ResourceExhausted,
			"the GlusterFS volume is already the persistent volume %q; with kadalu-format: false it has only one", info.Name)
	case c.Claimed != nil && c.Claimed(s.ID()):
		// An adopted PersistentVolume has no metadata on the volume.
		return info, status.Error(codes.ResourceExhausted,
			"the GlusterFS volume is already a persistent volume; with kadalu-format: false it has only one")
	}
	if err := decide.Fits(capacity, 0, size); err != nil {
		return info, status.Error(codes.ResourceExhausted, err.Error())
	}
	info = decide.Info{Size: capacity, Name: name}
	return info, t.SetOwner(info)
}
