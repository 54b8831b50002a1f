//go:build linux

// Package reconcile keeps the limits of the bricks of one node as they should be.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/glusterd"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

const (
	// chunkSize is the number of directories that are handled at a time. A request waits until they are.
	chunkSize = 128
	// discoverInterval is the time between two reads of glusterd's files. While their changes are watched and all can be
	// read, it is watchedInterval.
	discoverInterval, watchedInterval = 10 * time.Second, time.Minute
	// firstRetry is the time after which a directory whose limit cannot be set yet is tried again: it does not exist on
	// a brick, or its description has not been healed. The time doubles up to lastRetry.
	firstRetry, lastRetry = time.Second, time.Minute
	// lastKept is the longest time after which a directory is looked at again that is no longer a target.
	lastKept = 30 * time.Minute
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
	// Described reports whether the descriptions of a volume are watched; optional.
	Described func(decide.Volume) bool
	// Remounted is called when the mount of a brick has changed; optional.
	Remounted func()

	// unlock is set when the files of glusterd are locked.
	unlock func() error
	// watched is true while changes of the files of glusterd are watched.
	watched atomic.Bool

	mutex sync.Mutex
	node  glusterd.Node
	// checked are the volumes that are checked regularly.
	checked []decide.Volume
	// problems are those of the last read, which are logged once.
	problems string
	// brickProblems are those of the last check of each brick, which are logged once.
	brickProblems map[string]string
	// retries are the times after which directories are tried again.
	retries map[controller.Key]time.Duration
	// kept are the times until the next look at directories that are no longer targets and still exist.
	kept map[controller.Key]time.Duration
	// changes are those of the descriptions of each brick at the last look.
	changes map[string]brick.Changes
	// lookedAt has the volumes whose descriptions are looked at: those that have been checked.
	lookedAt map[string]bool
	// lookTimes are the CPU times of the last looks at the descriptions of each volume.
	lookTimes map[string][]time.Duration
	// mounts are the mounts of the bricks at their last check.
	mounts map[string]string
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
		return r.discoverAgain(r.discover())
	}
	v, found := r.volume(key.Namespace)
	if !found {
		r.unchecked(key)
		return controller.Result{}, nil
	}
	r.discoverUnchecked(v)
	switch key.Name {
	case "":
		next, err := r.all(ctx, v)
		return controller.Result{RequeueAfter: next}, err
	case changedDescriptions:
		return controller.Result{RequeueAfter: r.look(v)}, nil
	}
	begun := time.Now()
	states, isKept, err := r.sync(ctx, v, []string{key.Name}, false)
	r.Metrics.synced(time.Since(begun))
	if err != nil {
		return controller.Result{}, err
	}
	after := r.retryAfter(key, states[key.Name])
	if kept := r.keptAfter(key, isKept); after == 0 {
		after = kept
	}
	return controller.Result{RequeueAfter: after}, nil
}

// keptAfter returns the time after which a directory is looked at again that is no longer a target and still exists, or
// 0. Its removal causes no event. The time doubles, until the regular check is soon enough.
func (r *Reconciler) keptAfter(key controller.Key, isKept bool) time.Duration {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	after := max(firstRetry, r.kept[key])
	if !isKept || after > lastKept {
		delete(r.kept, key)
		return 0
	}
	if r.kept == nil {
		r.kept = map[controller.Key]time.Duration{}
	}
	r.kept[key] = 2 * after
	return after
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

// sync limits some directories of a volume on all local bricks. It returns the states of each directory, and whether
// there is one that is no longer a target and still exists.
func (r *Reconciler) sync(
	ctx context.Context, v decide.Volume, paths []string, full bool,
) (states map[string][]decide.BrickState, isKept bool, err error) {
	bricks, problems := open(v)
	defer closeAll(bricks)
	states = map[string][]decide.BrickState{}
	results := map[string][]BrickResult{}
	var failed []error
	for i, b := range bricks {
		of := v.Local[i]
		plan, err := r.limit(ctx, v, of, b, problems[i], paths)
		if err != nil {
			failed = append(failed, fmt.Errorf("brick %s: %w", of.Path, err))
		}
		isKept = isKept || len(plan.Kept) > 0
		for _, result := range plan.Results {
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
	return states, isKept, errors.Join(failed...)
}

// limit limits some directories on a brick. It returns the plan with the results.
func (r *Reconciler) limit(
	ctx context.Context, v decide.Volume, of decide.Brick, b *brick.Brick, problem *decide.Problem, paths []string,
) (decide.Plan, error) {
	if problem != nil {
		s := decide.State{Volume: v, Brick: of, Problem: problem}
		for _, path := range paths {
			if target, found := r.Source.Target(v, b, path); found {
				s.Targets = append(s.Targets, target)
			}
		}
		return decide.Decide(s), nil
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
	return plan, joined(failed)
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
