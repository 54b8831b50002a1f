//go:build linux

// Package reconcile keeps the limits of the bricks of one node as they should be.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/glusterd"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

const (
	// chunkSize is the number of directories that are handled at a time.
	chunkSize = 512
	// discoverInterval is the time between two reads of glusterd's files.
	discoverInterval = 10 * time.Second
	// firstRetry is the time after which a directory whose limit cannot be set yet is tried again: it does not exist on
	// a brick, or its description has not been healed. The time doubles up to lastRetry.
	firstRetry, lastRetry = time.Second, time.Minute
)

// Discover is the key that reads the volumes of the node. The key of a volume has its UUID as namespace and no name;
// the key of a directory has its path as name. The name changedDescriptions looks for descriptions that have changed.
var Discover = controller.Key{}

const changedDescriptions = "."

// Reconciler limits the directories of the bricks of a node.
type Reconciler struct {
	// Dir has the files of glusterd.
	Dir string
	// Records are the records of project ids.
	Records *ledger.Ledger
	// Source knows the sizes of directories.
	Source Source
	// Descriptions is true if the sizes come from descriptions on the bricks.
	Descriptions bool
	// Reporter receives the results; optional.
	Reporter Reporter
	// Interval is the time between two checks of all directories.
	Interval time.Duration
	// Metrics of the service.
	Metrics *Metrics
	// Log of the service.
	Log *slog.Logger
	// Enqueue adds a key to the queue.
	Enqueue func(controller.Key)
	// Changed is called with the managed volumes when they have changed; optional.
	Changed func([]decide.Volume)

	// managed are the managed volumes at the last discovery, whose key is handled by one worker at a time.
	managed []decide.Volume

	mutex sync.Mutex
	node  glusterd.Node
	// problems are those of the last read, which are logged once.
	problems string
	// brickProblems are those of the last check of each brick, which are logged once.
	brickProblems map[string]string
	// retries are the times after which directories are tried again.
	retries map[controller.Key]time.Duration
	// changes are those of the descriptions of each brick at the last look.
	changes map[string]brick.Changes
	// limiting is held while limits are decided and set, but not while large directories are assigned.
	limiting sync.Mutex
}

// Reporter reports the states of limits.
type Reporter interface {
	// Report reports the results of one directory on all local bricks. full is true for the regular check of all
	// directories.
	Report(ctx context.Context, nodeID string, results []BrickResult, full bool) error
}

// BrickResult is the result of a directory on a brick.
type BrickResult struct {
	Brick decide.Brick
	decide.Result
}

// Reconcile handles a key.
func (r *Reconciler) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	if key == Discover {
		return controller.Result{RequeueAfter: discoverInterval}, r.discover()
	}
	v, found := r.volume(key.Namespace)
	if !found {
		return controller.Result{}, nil
	}
	switch key.Name {
	case "":
		return controller.Result{RequeueAfter: r.Interval}, r.all(ctx, v)
	case changedDescriptions:
		return controller.Result{RequeueAfter: r.look(v)}, nil
	}
	begun := time.Now()
	states, err := r.sync(ctx, v, []string{key.Name}, false)
	r.Metrics.synced(time.Since(begun))
	if err != nil {
		return controller.Result{}, err
	}
	return controller.Result{RequeueAfter: r.retryAfter(key, states[key.Name])}, nil
}

// retryAfter returns the time after which a directory is tried again, or 0.
func (r *Reconciler) retryAfter(key controller.Key, states []decide.BrickState) time.Duration {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if !slices.ContainsFunc(states, isRetried) {
		delete(r.retries, key)
		return 0
	}
	after := max(firstRetry, r.retries[key])
	if r.retries == nil {
		r.retries = map[controller.Key]time.Duration{}
	}
	r.retries[key] = min(2*after, lastRetry)
	return after
}

// isRetried reports whether a state can end without an event. A brick that cannot be used is mounted again.
func isRetried(s decide.BrickState) bool {
	return s == decide.Waiting || s == decide.ProjectInUse || s == decide.Failed
}

// discover reads the volumes of the node and enqueues those that are new or have changed.
func (r *Reconciler) discover() error {
	read, err := glusterd.Read(r.Dir)
	if err != nil {
		return err
	}
	r.mutex.Lock()
	before := r.node
	if problem := errors.Join(read.Problems...); problem != nil {
		if problem.Error() != r.problems {
			r.Log.Warn("some volumes cannot be read", "error", problem)
		}
		r.problems = problem.Error()
		// A file that is being written must not look like a deleted volume.
		read.Volumes = keepUnreadable(before.Volumes, read)
	} else {
		r.problems = ""
	}
	r.node = read
	r.mutex.Unlock()
	r.Metrics.problems(len(read.Problems))
	managed := slices.DeleteFunc(slices.Clone(read.Volumes), func(v decide.Volume) bool { return !r.manages(v) })
	if r.Changed != nil {
		r.Changed(managed)
	}
	// A volume that is not managed any more is not checked again. If it is managed later, its check starts again.
	for _, v := range managed {
		if !slices.ContainsFunc(r.managed, func(old decide.Volume) bool { return reflect.DeepEqual(old, v) }) {
			r.Log.Info("found a volume", "volume", v.Name, "bricks", len(v.Local))
			r.Enqueue(controller.Key{Namespace: v.ID})
			if r.Descriptions {
				r.Enqueue(controller.Key{Namespace: v.ID, Name: changedDescriptions})
			}
		}
	}
	r.managed = managed
	return nil
}

// manages reports whether the directories of a volume are limited, or have limits that have to be released.
func (r *Reconciler) manages(v decide.Volume) bool {
	return r.Source.Manages(v) || r.Reporter != nil && r.Records.Has(v.ID)
}

func keepUnreadable(before []decide.Volume, read glusterd.Node) []decide.Volume {
	volumes := slices.Clone(read.Volumes)
	for _, old := range before {
		known := slices.ContainsFunc(volumes, func(v decide.Volume) bool { return v.Name == old.Name })
		if !known && slices.Contains(read.Unreadable, old.Name) {
			volumes = append(volumes, old)
		}
	}
	return volumes
}

// CheckAll enqueues all managed volumes.
func (r *Reconciler) CheckAll() {
	for _, v := range r.volumes() {
		if r.manages(v) {
			r.Enqueue(controller.Key{Namespace: v.ID})
		}
	}
}

func (r *Reconciler) volumes() []decide.Volume {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.node.Volumes
}

func (r *Reconciler) nodeID() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.node.ID
}

func (r *Reconciler) volume(id string) (decide.Volume, bool) {
	volumes := r.volumes()
	i := slices.IndexFunc(volumes, func(v decide.Volume) bool { return v.ID == id })
	if i < 0 || !r.manages(volumes[i]) {
		// Without GlusterVolumes, the limits of a volume that is no longer managed stay as they are.
		return decide.Volume{}, false
	}
	return volumes[i], true
}

// all checks all directories of a volume, and those that had a limit before.
func (r *Reconciler) all(ctx context.Context, v decide.Volume) error {
	bricks, problems := open(v)
	fileSystems := map[string]bool{}
	for i, b := range bricks {
		r.Metrics.brick(v, v.Local[i], problems[i])
		if b != nil {
			fileSystems[b.FileSystem] = true
			r.remember(v, v.Local[i], b)
		}
		r.logProblem(v, v.Local[i], problems[i])
	}
	defer closeAll(bricks)
	begun := time.Now()
	seen := map[string]bool{}
	counts := map[decide.BrickState]int{}
	var failed []error
	check := func(paths []string) error {
		states, err := r.sync(ctx, v, paths, true)
		for path, of := range states {
			for _, state := range of {
				counts[state]++
			}
			if slices.ContainsFunc(of, isRetried) {
				r.Enqueue(controller.Key{Namespace: v.ID, Name: path})
			}
		}
		if err != nil && len(failed) < 5 {
			failed = append(failed, err)
		}
		for _, path := range paths {
			seen[path] = true
		}
		return ctx.Err()
	}
	if err := r.Source.Walk(v, bricks, check); err != nil {
		return fmt.Errorf("volume %s: %w", v.Name, err)
	}
	for fileSystem := range fileSystems {
		recorded, err := r.Records.Paths(fileSystem, v.ID)
		if err != nil {
			return err
		}
		recorded = slices.DeleteFunc(recorded, func(path string) bool { return seen[path] })
		for chunk := range slices.Chunk(recorded, chunkSize) {
			if err := check(chunk); err != nil {
				return err
			}
		}
	}
	r.Metrics.counted(v, counts)
	r.Log.Info("checked a volume", "volume", v.Name, "directories", len(seen), "enforced", counts[decide.Enforced],
		"duration", time.Since(begun).Round(time.Millisecond).String())
	return errors.Join(failed...)
}

// logProblem logs the problem of a brick when it changes.
func (r *Reconciler) logProblem(v decide.Volume, b decide.Brick, problem *decide.Problem) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	id, message := v.ID+" "+b.Path, ""
	if problem != nil {
		message = string(problem.State) + ": " + problem.Message
	}
	if r.brickProblems == nil {
		r.brickProblems = map[string]string{}
	}
	previous := r.brickProblems[id]
	r.brickProblems[id] = message
	switch message {
	case previous:
	case "":
		r.Log.Info("a brick can limit directories again", "volume", v.Name, "brick", b.Path)
	default:
		r.Log.Warn("a brick cannot limit directories", "volume", v.Name, "brick", b.Path, "problem", message)
	}
}

// sync limits some directories of a volume on all local bricks. It returns the states of each directory.
func (r *Reconciler) sync(
	ctx context.Context, v decide.Volume, paths []string, full bool,
) (map[string][]decide.BrickState, error) {
	bricks, problems := open(v)
	defer closeAll(bricks)
	states := map[string][]decide.BrickState{}
	results := map[string][]BrickResult{}
	var failed []error
	for i, b := range bricks {
		of := v.Local[i]
		found, err := r.limit(ctx, v, of, b, problems[i], paths)
		if err != nil {
			failed = append(failed, fmt.Errorf("brick %s: %w", of.Path, err))
		}
		for _, result := range found {
			states[result.Target.Path] = append(states[result.Target.Path], result.State)
			results[result.Target.Path] = append(results[result.Target.Path], BrickResult{of, result})
		}
	}
	if r.Reporter != nil {
		for _, path := range slices.Compact(slices.Sorted(slices.Values(paths))) {
			if len(results[path]) == 0 {
				continue
			}
			if err := r.Reporter.Report(ctx, r.nodeID(), results[path], full); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return states, errors.Join(failed...)
}

// limit limits some directories on a brick.
func (r *Reconciler) limit(
	ctx context.Context, v decide.Volume, of decide.Brick, b *brick.Brick, problem *decide.Problem, paths []string,
) ([]decide.Result, error) {
	if problem != nil {
		s := decide.State{Volume: v, Brick: of, Problem: problem}
		for _, path := range paths {
			if target, found := r.Source.Target(v, b, path); found {
				s.Targets = append(s.Targets, target)
			}
		}
		return decide.Decide(s).Results, nil
	}
	plan, assign, failed := r.decide(v, of, b, paths)
	for path, err := range b.Assign(ctx, r.Records, assign) {
		failed[path] = err
	}
	r.Metrics.changed(plan.Steps)
	for i := range plan.Results {
		result := &plan.Results[i]
		if err := failed[result.Target.Path]; err != nil {
			result.State, result.Message = decide.Failed, err.Error()
		}
	}
	return plan.Results, joined(failed)
}

func (r *Reconciler) decide(
	v decide.Volume, of decide.Brick, b *brick.Brick, paths []string,
) (decide.Plan, []decide.Step, map[string]error) {
	r.limiting.Lock()
	defer r.limiting.Unlock()
	state, failed := observe(r.Records, r.Source, v, of, b, paths)
	plan := decide.Decide(state)
	assign, errs := b.Limit(r.Records, plan.Steps)
	for path, err := range errs {
		failed[path] = err
	}
	return plan, assign, failed
}

// Ready returns nil when the files of glusterd have been read.
func (r *Reconciler) Ready(context.Context) error {
	if r.nodeID() == "" {
		return fmt.Errorf("the files of glusterd in %s have not been read yet", r.Dir)
	}
	return nil
}
