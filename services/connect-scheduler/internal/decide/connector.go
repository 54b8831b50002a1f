// Package decide decides what to do for a KafkaConnector or a KafkaConnect: it computes a Plan from the observed
// State. It has no client, no clock and no I/O.
//
// A decision passes through the sub-packages in this order: observed (the input), spec (the effective spec and its
// validation), taskset (the published task configs), oneshot (one-shot pods), desired (the objects), rollout (the
// restarts) and status (conditions and events).
package decide

import (
	"fmt"

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
	plan := Plan{Status: s.Connector.Status, previous: s.Connector.Status}
	if s.Connector.DeletionTimestamp != nil {
		// The garbage collector deletes all owned objects.
		return plan, nil
	}
	if err := s.Errors.Err(); err != nil {
		return Plan{}, err
	}
	finding := spec.Validate(s, e)
	if finding == nil {
		var writes oneshot.Writes
		writes, finding = oneshot.Validate(s, e)
		plan.OneShots.Include(writes)
	}
	accepted, isRecorded := desired.Accepted(s, e)
	follows := finding != nil && isRecorded && desired.CanFollow(s, e, *finding)
	if follows {
		e = accepted
	}
	if oneshot.ChangesOffsets(s) {
		e.RunConnector, e.RunTasks = false, false
	}
	tasks := taskset.Read(s, e)
	plan.Budget = rollout.NewBudget(s)
	var err error
	switch {
	case finding == nil:
		tasks, err = plan.sync(s, e, tasks, desired.Sync)
	case follows:
		tasks, err = plan.sync(s, e, tasks, desired.Follow)
	default:
		plan.Writes, err = desired.Freeze(s, e)
	}
	if err != nil {
		return Plan{}, fmt.Errorf(
			"compare the objects of KafkaConnector %s/%s: %w", s.Connector.Namespace, s.Connector.Name, err)
	}
	requests := rollout.Requested{LastRestart: s.Connector.Status.LastRestart}
	if finding == nil || follows {
		requests = rollout.Requests(s)
		plan.Mark, plan.Done = requests.Mark, requests.Done
	}
	writes, offsets, done := oneshot.Offsets(s, e, tasks)
	plan.OneShots.Include(writes)
	if done {
		plan.Done = append(plan.Done, contract.ConnectorOffsets)
	}
	plan.wakeAt(plan.OneShots.WakeAt, s.Now)
	plan.wakeAt(plan.Budget.RecheckAt, s.Now)
	plan.Status = status.Of(s, e, status.Input{
		Finding: finding, Tasks: tasks, Rollout: plan.rollout, Budget: *plan.Budget, Offsets: offsets,
		LastRestart: requests.LastRestart,
	})
	return plan, nil
}

// restartLimitReached holds back a set of task configs of an exactly-once source, whose tasks stop together.
var restartLimitReached = spec.Finding{
	Reason: connectv1.ReasonRestartLimitReached, Message: status.RestartLimitReached,
}

// objects is desired.Sync or desired.Follow.
type objects func(observed.State, spec.Effective, taskset.Set) (desired.Writes, desired.Sets, error)

// sync plans the writes and restarts that make the observed objects match the spec. It returns the set of task configs
// with which the tasks run.
func (p *Plan) sync(s observed.State, e spec.Effective, tasks taskset.Set, want objects) (taskset.Set, error) {
	tasks = tasks.Damp(s, e)
	var writes oneshot.Writes
	if p.Budget.TakeAll(s, tasks) {
		writes, tasks = oneshot.Fence(s, e, tasks)
		p.OneShots.Include(writes)
	} else {
		tasks = tasks.Freeze(restartLimitReached)
	}
	writes, tasks = oneshot.Members(s, e, tasks)
	p.OneShots.Include(writes)
	var sets desired.Sets
	var err error
	if p.Writes, sets, err = want(s, e, tasks); err != nil {
		return tasks, err
	}
	p.rollout = rollout.Decide(s, e, tasks, sets, p.Budget)
	p.Metadata = p.rollout.Metadata
	p.Restarts, p.RequeueAfter, p.creates = p.rollout.Restarts, p.rollout.RequeueAfter, sets.Creates
	if tasks.Delay != nil {
		p.wakeAt(tasks.Delay.Until, s.Now)
	}
	p.delayEnded = tasks.Delay == nil && status.IsDelayed(p.previous)
	return tasks, nil
}
