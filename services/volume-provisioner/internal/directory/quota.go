//go:build linux

package directory

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

// Projects of volumes have ids from firstProject to firstProject+projects-1.
const (
	firstProject = 0x57000000
	projects     = 1 << 24
)

// limit limits a directory to its size. The limit exists before the directory has the project.
func limit(ctx context.Context, base *node.Dir, a disk.Action) error {
	d, err := base.OpenDir(a.Path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	quota := xfsquota.New(base)
	current, err := xfsquota.ProjectOf(d.File())
	if err != nil {
		return err
	}
	project := current.ID
	if project < firstProject || project >= firstProject+projects || slices.Contains(a.Taken, project) {
		if project, err = freeProject(quota, a); err != nil {
			return err
		}
	}
	if err := quota.SetLimit(project, uint64(a.Directory.Bytes)); err != nil {
		return err
	}
	return xfsquota.Assign(ctx, d, project)
}

// freeProject returns a project without limit and use. The search starts at a number that depends on the volume.
func freeProject(quota *xfsquota.Quota, a disk.Action) (uint32, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(a.Directory.ID))
	start := h.Sum32() % projects
	const attempts = 4096
	for i := range uint32(attempts) {
		project := firstProject + (start+i)%projects
		usage, err := quota.Get(project)
		if err != nil {
			return 0, err
		}
		if usage.LimitBytes == 0 && usage.Files == 0 && !slices.Contains(a.Taken, project) {
			return project, nil
		}
	}
	return 0, errors.New("no quota project is free")
}

// unlimit removes the limit of a directory. It keeps the project, which does no harm.
func unlimit(base *node.Dir, a disk.Action) error {
	d, err := base.OpenDir(a.Path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	project, err := xfsquota.ProjectOf(d.File())
	if err != nil || project.ID < firstProject || project.ID >= firstProject+projects {
		return err
	}
	return xfsquota.New(base).SetLimit(project.ID, 0)
}
