// Package decide decides what to do for a KafkaConnector or a KafkaConnect: it computes a Plan from the observed
// State. It has no client, no clock and no I/O.
//
// A decision passes through the sub-packages in this order: observed (the input, and the objects that exist), spec (the
// effective spec and its validation), taskset (the published task configs), oneshot (one-shot pods), desired (the
// objects), rollout (the restarts) and status (conditions and events). Only spec and desired look at all objects and
// get the whole State.
package decide

import (
	"fmt"
	"time"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/oneshot"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/rollout"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/status"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Manager is the field manager of connect-scheduler.
const Manager = observed.Manager

// Connector returns the plan for a KafkaConnector. e is the effective spec, see spec.Of.
func Connector(s observed.State, e spec.Effective) (Plan, error) {
	c := s.Connector
	plan := Plan{Status: c.Status, previous: c.Status}
	if c.DeletionTimestamp != nil {
		// The garbage collector deletes all owned objects.
		return plan, nil
	}
	if err := s.Errors.Err(); err != nil {
		return Plan{}, err
	}
	current := s.Current()
	build := desired.NewBuilder(s, e)
	oneShots := oneshot.New(c, current, build)
	finding := spec.Validate(s, e)
	if finding == nil {
		finding = oneShots.Validate(e.CandidateKey())
	}
	accepted := build.Accepted(current.Recorded)
	follows := finding != nil && accepted.CanFollow(s, *finding)
	if follows {
		e = accepted.Effective
	}
	if oneShots.ChangesOffsets() {
		e.RunConnector, e.RunTasks = false, false
	}
	tasks := taskset.Read(current, e)
	plan.Budget = rollout.NewBudget(s.Budget, c.Status.Restarting, current)
	requests := rollout.Requested{LastRestart: c.Status.LastRestart}
	var err error
	if finding == nil || follows {
		requests = rollout.Requests(c, current.Pods)
		plan.Mark, plan.Done = requests.Mark, requests.Done
		tasks = plan.nextTasks(tasks, oneShots, current.Now)
		err = plan.sync(s, e, follows, rollout.Input{
			Current: current, Tasks: tasks, Requests: requests, Budget: plan.Budget, Claim: s.Claim,
		})
	} else {
		plan.Writes, err = desired.Freeze(current, e)
	}
	if err != nil {
		return Plan{}, fmt.Errorf("compare the objects of KafkaConnector %s/%s: %w", c.Namespace, c.Name, err)
	}
	offsets, done := oneShots.Offsets(tasks)
	if done {
		plan.Done = append(plan.Done, contract.ConnectorOffsets)
	}
	plan.OneShots = oneShots.Writes
	plan.RequeueAfter = until(current.Now,
		plan.OneShots.WakeAt, plan.Budget.RecheckAt, plan.rollout.RecheckAt, tasks.DelayedUntil())
	plan.Status = status.Of(c, status.Input{
		Current: current, Finding: finding, IsSecretLost: accepted.IsSecretLost, Tasks: tasks, Rollout: plan.rollout,
		Budget: *plan.Budget, Offsets: offsets, LastRestart: requests.LastRestart,
		DefaultOffsetsTopic: e.DefaultOffsetsTopic,
		Storage:             status.StorageReady(e.Volume, s.Claim, s.ClaimWarning, s.Class),
	})
	return plan, nil
}

// restartLimitReached holds back a set of task configs of an exactly-once source, whose tasks stop together.
var restartLimitReached = spec.Finding{
	Reason: connectv1.ReasonRestartLimitReached, Message: status.RestartLimitReached,
}

// nextTasks returns the set of task configs with which the tasks run next. A published set waits while its change is
// delayed, while no budget is left to stop all tasks, and while the previous tasks are stopped and fenced.
func (p *Plan) nextTasks(published taskset.Set, oneShots *oneshot.Operations, now time.Time) taskset.Set {
	tasks := published.Damp(now)
	p.delayEnded = tasks.Delay == nil && status.IsDelayed(p.previous)
	if p.Budget.TakeAll(tasks) {
		tasks = oneShots.Fence(tasks)
	} else {
		tasks = tasks.Freeze(restartLimitReached)
	}
	return oneShots.Members(tasks)
}

// sync plans the writes and restarts that make the observed objects match the spec. It completes in with the desired
// StatefulSets.
func (p *Plan) sync(s observed.State, e spec.Effective, follows bool, in rollout.Input) error {
	build := desired.NewBuilder(s, e)
	objects := build.Sync
	if follows {
		objects = build.Follow
	}
	var err error
	if p.Writes, in.Sets, err = objects(in.Tasks); err != nil {
		return err
	}
	p.rollout = rollout.Decide(e, in)
	p.Restarts, p.Metadata, p.creates = p.rollout.Restarts, p.rollout.Metadata, in.Sets.Creates
	return nil
}
