//go:build linux

// Package directory observes and changes the directories of volumes on the node's file systems. It never follows a
// symbolic link, never enters a mount point below a base path, and removes only what is in the trash.
package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

// Host is the access to the base paths of the node. A file system that does not answer delays no other.
type Host struct {
	// Timeout is the time after which a file system counts as failed.
	Timeout time.Duration
	// Changed is called when background work has ended.
	Changed func()
	// Acted is called with the results of actions; optional.
	Acted func(map[disk.Key]disk.Result)
	// Now returns the current time.
	Now func() time.Time

	mu   sync.Mutex
	busy map[string]bool
	jobs map[disk.Key]disk.Result
}

// errNoAnswer means that a file system did not answer in time.
var errNoAnswer = errors.New("the file system does not answer")

// maxRounds is how often Sync acts. An action may need another one after it, such as the quota of a new directory.
const maxRounds = 4

// Sync observes, decides and acts until there is nothing left to do, or only what has failed. It adds the results of
// its actions to those of the state.
func (h *Host) Sync(ctx context.Context, state disk.State) disk.Plan {
	for round := 0; ; round++ {
		state.BasePaths = h.Observe(ctx, state.Node.Spec, state.AllowedBasePaths)
		plan := disk.Decide(state)
		if len(plan.Actions) == 0 || round == maxRounds || ctx.Err() != nil {
			return plan
		}
		results := h.Act(ctx, plan.Actions)
		if h.Acted != nil {
			h.Acted(results)
		}
		maps.Copy(state.Results, results)
	}
}

// exclusive calls f unless an earlier call for the base path has not returned. It waits for f until the timeout.
func exclusive[T any](ctx context.Context, h *Host, basePath string, f func() T) (T, error) {
	var none T
	h.mu.Lock()
	if h.busy[basePath] {
		h.mu.Unlock()
		return none, errNoAnswer
	}
	if h.busy == nil {
		h.busy = map[string]bool{}
	}
	h.busy[basePath] = true
	h.mu.Unlock()
	late, done := make(chan struct{}), make(chan T, 1)
	go func() {
		result := f()
		h.mu.Lock()
		delete(h.busy, basePath)
		h.mu.Unlock()
		done <- result
		select {
		case <-late:
			h.changed()
		default:
		}
	}()
	timer := time.NewTimer(h.Timeout)
	defer timer.Stop()
	select {
	case result := <-done:
		return result, nil
	case <-timer.C:
		close(late)
		return none, fmt.Errorf("%w within %s", errNoAnswer, h.Timeout)
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (h *Host) changed() {
	if h.Changed != nil {
		h.Changed()
	}
}

// Jobs returns the results of background actions, and forgets those that have ended.
func (h *Host) Jobs() map[disk.Key]disk.Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	results := map[disk.Key]disk.Result{}
	for key, result := range h.jobs {
		results[key] = result
		if !result.Running {
			delete(h.jobs, key)
		}
	}
	return results
}

// start runs an action in the background, unless it runs.
func (h *Host) start(key disk.Key, f func() disk.Result) (result disk.Result, started bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs[key].Running {
		return h.jobs[key], false
	}
	if h.jobs == nil {
		h.jobs = map[disk.Key]disk.Result{}
	}
	h.jobs[key] = disk.Result{Running: true}
	go func() {
		result := f()
		h.mu.Lock()
		h.jobs[key] = result
		h.mu.Unlock()
		h.changed()
	}()
	return h.jobs[key], true
}
