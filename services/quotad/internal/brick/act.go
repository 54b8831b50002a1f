//go:build linux

package brick

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

// Limit writes the records of steps and sets their limits. It returns the steps that still have to be assigned, and the
// error of each directory that failed. Records are written before limits: a limit without a record is never one that
// Limit has left.
func (b *Brick) Limit(records *ledger.Ledger, steps []decide.Step) (assign []decide.Step, failed map[string]error) {
	failed = map[string]error{}
	var before, after []ledger.Change
	for _, step := range steps {
		if step.Own != nil {
			before = append(before, ledger.Change{Project: step.Project, Owner: step.Own})
		}
	}
	if err := records.Write(b.FileSystem, before); err != nil {
		for _, step := range steps {
			failed[step.Path] = err
		}
		return nil, failed
	}
	for _, step := range steps {
		if err := b.setLimit(step); err != nil {
			failed[step.Path] = err
			continue
		}
		if step.Forget {
			after = append(after, ledger.Change{Project: step.Project})
		}
		if step.Assign {
			assign = append(assign, step)
		}
	}
	if err := records.Write(b.FileSystem, after); err != nil {
		for _, change := range after {
			for _, step := range steps {
				if step.Project == change.Project {
					failed[step.Path] = err
				}
			}
		}
	}
	return assign, failed
}

// setLimit sets a limit and reads it back.
func (b *Brick) setLimit(step decide.Step) error {
	if !step.SetLimit {
		return nil
	}
	//nolint:gosec // limits are positive
	if err := b.quota.SetLimit(step.Project, uint64(step.LimitBytes)); err != nil {
		return err
	}
	usage, err := b.Usage(step.Project)
	if err == nil && usage.LimitBytes != step.LimitBytes {
		err = fmt.Errorf("the limit of project %d is %d bytes after it was set to %d", step.Project, usage.LimitBytes,
			step.LimitBytes)
	}
	return err
}

// Assign assigns directories and everything in them to their projects, which can take long, and records that. It
// returns the error of each directory that failed.
func (b *Brick) Assign(ctx context.Context, records *ledger.Ledger, steps []decide.Step) map[string]error {
	failed := map[string]error{}
	var assigned []ledger.Change
	for _, step := range steps {
		if err := b.assign(ctx, step); err != nil {
			failed[step.Path] = err
			continue
		}
		assigned = append(assigned, ledger.Change{
			Project: step.Project, Owner: &decide.Owner{Volume: step.Volume, Path: step.Path, Assigned: true},
		})
	}
	if err := records.Assigned(b.FileSystem, assigned); err != nil {
		for _, step := range steps {
			failed[step.Path] = err
		}
	}
	return failed
}

func (b *Brick) assign(ctx context.Context, step decide.Step) error {
	dir, err := b.root.OpenDir(step.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was deleted", step.Path)
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return xfsquota.Assign(ctx, dir, step.Project)
}
