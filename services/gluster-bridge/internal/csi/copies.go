//go:build linux

package csi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

const (
	// copyRetry is the time between two looks for copies that are not complete, and for data that is to be removed.
	copyRetry = 30 * time.Second
	// progressInterval is the time between two writes of the progress of a copy.
	progressInterval = 5 * time.Second
)

// copies are the running copies. They are made in the background: a CSI call never waits for the data of a volume.
type copies struct {
	mu      sync.Mutex
	base    context.Context //nolint:containedctx // of Run
	running map[string]*copyJob
	// slots limit the concurrent copies of a storage, by its id.
	slots map[string]chan struct{}
}

// maxCopies is the largest number of concurrent copies of a storage.
const maxCopies = 4

type copyJob struct {
	cancel context.CancelFunc
	done   chan struct{}
	// err is set before done is closed.
	err error
}

// Run continues the copies that an earlier process has not completed, and removes the data of deleted volumes, until
// ctx ends. Then it waits for the running copies.
func (c *Controller) Run(ctx context.Context) error {
	c.copies.mu.Lock()
	c.copies.base = ctx
	c.copies.mu.Unlock()
	ticker := time.NewTicker(copyRetry)
	defer ticker.Stop()
	for {
		for _, s := range c.Storages.All() {
			if s.Native {
				go c.resume(ctx, s)
			}
		}
		select {
		case <-ticker.C:
		case <-c.wake():
		case <-ctx.Done():
			c.stopCopies()
			return nil
		}
	}
}

func (c *Controller) wake() <-chan struct{} {
	if c.Loaded == nil {
		return nil
	}
	return c.Loaded
}

func (c *Controller) stopCopies() {
	c.copies.mu.Lock()
	jobs := []*copyJob{}
	for _, job := range c.copies.running {
		jobs = append(jobs, job)
	}
	c.copies.mu.Unlock()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for _, job := range jobs {
		select {
		case <-job.done:
		case <-deadline.C:
			return
		}
	}
}

// resume starts the copies of a storage that are not complete.
func (c *Controller) resume(ctx context.Context, s decide.Storage) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := c.Pool.Of(s.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		if err := t.Ledger.Load(ctx, t, false); err != nil {
			return err
		}
		entries, _ := t.Ledger.Entries()
		for _, e := range entries {
			if e.Copying && e.Storage == s.ID() {
				c.copyVolume(s, e.Directory)
			}
		}
		for _, snapshot := range t.Ledger.Snapshots() {
			if !snapshot.Ready && snapshot.Storage == s.ID() {
				c.copySnapshot(s, snapshot.Directory)
			}
		}
		return nil
	}, func() {})
	if err != nil {
		c.Log.Warn("copies that are not complete are not continued yet", "storage", s.ID(), "error", err)
		return
	}
	c.emptyTrash(ctx, s)
}

// start runs a copy unless it runs already. key identifies it.
func (c *Controller) start(s decide.Storage, key string, f func(context.Context, *gluster.Tree) error) *copyJob {
	c.copies.mu.Lock()
	defer c.copies.mu.Unlock()
	if job := c.copies.running[key]; job != nil {
		return job
	}
	base := c.copies.base
	if base == nil {
		base = context.Background()
	}
	ctx, cancel := context.WithCancel(base)
	job := &copyJob{cancel: cancel, done: make(chan struct{})}
	if c.copies.running == nil {
		c.copies.running, c.copies.slots = map[string]*copyJob{}, map[string]chan struct{}{}
	}
	c.copies.running[key] = job
	slots := c.copies.slots[s.ID()]
	if slots == nil {
		slots = make(chan struct{}, maxCopies)
		c.copies.slots[s.ID()] = slots
	}
	ended := func() {
		c.copies.mu.Lock()
		defer c.copies.mu.Unlock()
		delete(c.copies.running, key)
	}
	go func() {
		defer close(job.done)
		defer cancel()
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			job.err = c.Pool.Of(s.Volume).Do(ctx, f, ended)
		case <-ctx.Done():
			ended()
			job.err = context.Cause(ctx)
		}
		if job.err != nil && ctx.Err() == nil {
			c.Log.Warn("a copy is not complete and will be continued", "copy", key, "error", job.err)
		}
	}()
	return job
}

// cancelCopy stops a copy and waits until it has ended.
func (c *Controller) cancelCopy(ctx context.Context, key string) error {
	c.copies.mu.Lock()
	job := c.copies.running[key]
	c.copies.mu.Unlock()
	if job == nil {
		return nil
	}
	job.cancel()
	select {
	case <-job.done:
		return nil
	case <-ctx.Done():
		return status.Errorf(codes.Aborted, "%s is still being copied; try again", key)
	}
}

func copyKey(s decide.Storage, target string) string { return s.ID() + "/" + target }

// copyVolume copies the source of a volume into its directory.
func (c *Controller) copyVolume(s decide.Storage, directory string) *copyJob {
	key := copyKey(s, decide.SourceVolume+directory)
	return c.start(s, key, func(ctx context.Context, t *gluster.Tree) error {
		info, found, err := t.Info(directory)
		if err != nil || !found || !info.Copying {
			return err
		}
		from, err := decide.SourcePath(info.Source)
		if err != nil {
			return err
		}
		var last decide.Progress
		save := func(done bool) error {
			return c.locked(ctx, t, directory, func() error {
				info, found, err := t.Info(directory)
				if err != nil || !found {
					return errors.Join(err, errors.New("the volume is gone"))
				}
				info.Progress, info.Copying = &last, !done
				if err := t.SetInfo(directory, info); err != nil {
					return err
				}
				t.Ledger.Put(directory, info)
				return nil
			})
		}
		report := c.reporter(key, &last, func() error { return save(false) })
		if err := t.Copy(ctx, from, decide.DataPath(directory), report); err != nil {
			return err
		}
		c.Log.Info("copied", "copy", key, "files", last.Files, "bytes", last.Bytes)
		return save(true)
	})
}

// copySnapshot copies the source of a snapshot.
func (c *Controller) copySnapshot(s decide.Storage, directory string) *copyJob {
	key := copyKey(s, gluster.SnapshotKey(directory))
	return c.start(s, key, func(ctx context.Context, t *gluster.Tree) error {
		info, found, err := t.Snapshot(directory)
		if err != nil || !found || info.Ready {
			return err
		}
		capacity, _, err := t.Size()
		if err != nil {
			return err
		}
		var last decide.Progress
		save := func(done bool) error {
			return c.locked(ctx, t, gluster.SnapshotKey(directory), func() error {
				if _, found, err := t.Snapshot(directory); err != nil || !found {
					return errors.Join(err, errors.New("the snapshot is gone"))
				}
				info.Progress, info.Ready = last, done
				// The metadata first: the source may be deleted as soon as the ledger has the snapshot as ready.
				if err := t.SetSnapshot(directory, info); err != nil {
					return err
				}
				return t.Ledger.ReserveSnapshot(directory, info, capacity)
			})
		}
		report := c.reporter(key, &last, func() error { return save(false) })
		limited := func(p decide.Progress) error {
			if p.Bytes > info.Size {
				enlarged := info
				enlarged.Size = p.Bytes
				if err := t.Ledger.ReserveSnapshot(directory, enlarged, capacity); err != nil {
					return fmt.Errorf("the source has more data than its size: %w", err)
				}
			}
			return report(p)
		}
		if err := t.Copy(ctx, decide.DataPath(info.Source), decide.SnapshotDataPath(directory), limited); err != nil {
			return err
		}
		c.Log.Info("copied", "copy", key, "files", last.Files, "bytes", last.Bytes)
		return save(true)
	})
}

// reporter returns a function that writes the progress of a copy to the log and the metadata from time to time.
func (c *Controller) reporter(key string, last *decide.Progress, save func() error) func(decide.Progress) error {
	next := time.Now().Add(progressInterval)
	return func(p decide.Progress) error {
		*last = p
		if time.Now().Before(next) {
			return nil
		}
		next = time.Now().Add(progressInterval)
		c.Log.Info("copying", "copy", key, "files", p.Files, "bytes", p.Bytes)
		return save()
	}
}

// locked runs f while it has the lock of a directory.
func (c *Controller) locked(ctx context.Context, t *gluster.Tree, directory string, f func() error) error {
	unlock, err := t.Ledger.Lock(ctx, directory, "copy")
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// waitForCopy waits until a volume is copied. The copy continues if ctx ends first, and the caller repeats the request.
func (c *Controller) waitForCopy(ctx context.Context, s decide.Storage, id decide.VolumeID) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	job := c.copyVolume(s, id.Directory)
	select {
	case <-job.done:
		if job.err != nil {
			return status.Errorf(codes.Unavailable, "copy the source of volume %s: %v", id, job.err)
		}
		return nil
	case <-ctx.Done():
		text := ""
		if l := c.Pool.Of(s.Volume).Ledger(); l != nil {
			if info, _, _, _ := l.Get(id.Directory); info.Progress != nil {
				text = fmt.Sprintf("; %d files and %d bytes are copied", info.Progress.Files, info.Progress.Bytes)
			}
		}
		return status.Errorf(codes.Aborted, "the source of volume %s is being copied%s; try again", id, text)
	}
}
