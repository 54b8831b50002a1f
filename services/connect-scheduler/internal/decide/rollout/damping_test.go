package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// publish changes the task configs as the connector does.
func publish(s *decidetest.Env, hashes ...string) {
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, hashes...)
}

// playUntil decides whenever a plan asks for it, and plays the cluster until at. It returns the pods that restarted and
// the number of events.
func playUntil(s *decidetest.Env, at time.Time) (restarts []string, events int) {
	s.Helper()
	for range 1000 {
		plan := s.Step()
		restarts, events = append(restarts, names(plan.Restarts)...), events+len(plan.Events())
		s.RunPods()
		if !plan.Empty() || plan.StatusChanged() {
			continue
		}
		next := s.State.Now.Add(plan.RequeueAfter)
		if plan.RequeueAfter == 0 || !next.Before(at) {
			s.State.Now = at
			return restarts, events
		}
		s.State.Now = next
	}
	s.Fatal("the plan does not become empty")
	return nil, 0
}

func TestTaskConfigsThatChangeEverySecondRestartTheTaskAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	var at []time.Duration
	events := 0
	for second := range 15 {
		publish(s, fmt.Sprintf("change-%d", second), "hash-1", "hash-2")
		now := s.State.Now.Sub(decidetest.Noon)
		restarts, recorded := playUntil(s, s.State.Now.Add(time.Second))
		events += recorded
		for _, name := range restarts {
			require.Equal(t, "test-tasks-0", name)
			at = append(at, now)
		}
	}
	require.Equal(t, []time.Duration{0, 10 * time.Second}, at)
	require.LessOrEqual(t, events, 8, "one event for each restart, delay and recovery")
	restarts, _ := playUntil(s, s.State.Now.Add(time.Hour))
	require.Equal(t, []string{"test-tasks-0"}, restarts)
	require.Equal(t, "change-14", s.State.Connector.Status.Tasks[0].ConfigHash)
}

func TestDelaysDoubleUpToFiveMinutes(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	for i, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		publish(s, fmt.Sprintf("change-%d", i), "hash-1", "hash-2")
		begun := s.State.Now
		plan := s.Step()
		if want > 0 {
			require.Equal(t, want*time.Second, plan.RequeueAfter)
			s.Settle()
			require.NotEqual(t, fmt.Sprintf("change-%d", i), s.State.Connector.Status.Tasks[0].ConfigHash)
			s.State.Now = begun.Add(plan.RequeueAfter)
		}
		s.Settle()
		require.Equal(t, fmt.Sprintf("change-%d", i), s.State.Connector.Status.Tasks[0].ConfigHash)
	}
	s.State.Now = s.State.Now.Add(10 * time.Minute)
	publish(s, "after-a-quiet-period", "hash-1", "hash-2")
	s.Settle()
	require.Equal(t, "after-a-quiet-period", s.State.Connector.Status.Tasks[0].ConfigHash)
}

// changedOften returns a connector with three tasks that has changed its task configs twice just now. The second change
// is delayed.
func changedOften(t *testing.T, exactlyOnce bool) *decidetest.Env {
	s := decidetest.Running(t, decidetest.Large(5), decidetest.Hashes(3)...)
	publishAs(s, exactlyOnce, "first-0", "hash-1", "hash-2")
	s.Settle()
	publishAs(s, exactlyOnce, "second-0", "second-1", "hash-2")
	s.Settle()
	require.Equal(t, "first-0", s.State.Connector.Status.Tasks[0].ConfigHash)
	return s
}

func publishAs(s *decidetest.Env, exactlyOnce bool, hashes ...string) {
	publish(s, hashes...)
	if exactlyOnce {
		s.State.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] = "true"
	}
}

func TestConditionTellsWhenDelayedTaskConfigsRollOut(t *testing.T) {
	t.Parallel()
	s := changedOften(t, false)
	status := s.State.Connector.Status
	delayed := decidetest.Condition(t, status.Conditions, connectv1.ConditionReconfiguringTooOften)
	require.Equal(t, connectv1.ReasonTaskConfigsDelayed, delayed.Reason)
	require.Equal(t, "the connector has changed its task configs 2 times with less than 10 minutes between changes; "+
		"the newest change (3 task configs) rolls out at 2026-05-04T12:00:10Z; running tasks keep their previous task "+
		"configs until then", delayed.Message)
	require.True(t, meta.IsStatusConditionTrue(status.Conditions, connectv1.ConditionReady), "all tasks run")
	s.State.Now = s.State.Now.Add(10 * time.Second)
	var notes []string
	plan := s.Step()
	for _, e := range plan.Events() {
		notes = append(notes, e.Reason+": "+e.Note)
	}
	require.Contains(t, notes, "DelayEnded: the newest task configs are no longer delayed and roll out now")
	s.RunPods()
	for range 10 {
		plan = s.Step()
		for _, e := range plan.Events() {
			require.NotEqual(t, connectv1.ReasonDelayEnded, e.Reason, "there is one event")
		}
		s.RunPods()
	}
	require.Nil(t, meta.FindStatusCondition(s.State.Connector.Status.Conditions, connectv1.ConditionReconfiguringTooOften))
	require.Equal(t, "second-1", s.State.Connector.Status.Tasks[1].ConfigHash)
}

func TestChangesThatAreNeverDelayed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*decidetest.Env){
		"another configuration of the connector": func(s *decidetest.Env) {
			s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
			publish(s, "third-0", "third-1", "third-2")
		},
		"fewer tasks": func(s *decidetest.Env) { publish(s, "third-0", "third-1") },
		"no task runs": func(s *decidetest.Env) {
			s.State.Connector.Spec.State = connectv1.StatePaused
			s.Settle()
			publish(s, "third-0", "third-1", "third-2")
			s.Settle()
			s.State.Connector.Spec.State = connectv1.StateRunning
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := changedOften(t, false)
			change(s)
			s.Settle()
			require.Equal(t, decidetest.Noon, s.State.Now)
			for id, task := range s.State.Connector.Status.Tasks {
				require.Equal(t, fmt.Sprintf("third-%d", id), task.ConfigHash)
			}
		})
	}
}

func TestConfigurationThatLeavesTaskConfigsEqualIsNotAChangeOfThem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// changes is the number of changes of task configs before the change of the configuration.
		changes int
		// delay of the first change of task configs after it.
		delay time.Duration
		// next is the delay of the second one.
		next time.Duration
	}{
		"the connector has never changed them":    {0, 0, 10 * time.Second},
		"the connector has just changed them":     {1, 10 * time.Second, 20 * time.Second},
		"the connector changes them all the time": {3, 40 * time.Second, 80 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
			published := decidetest.Hashes(3)
			change := func(value string) time.Duration {
				begun := s.State.Now
				published = []string{value, "hash-1", "hash-2"}
				publish(s, published...)
				for s.State.Connector.Status.Tasks[0].ConfigHash != value {
					plan := s.Step()
					s.RunPods()
					if plan.Empty() && !plan.StatusChanged() {
						require.Positive(t, plan.RequeueAfter)
						s.State.Now = s.State.Now.Add(plan.RequeueAfter)
					}
				}
				s.Settle()
				return s.State.Now.Sub(begun)
			}
			for i := range test.changes {
				change(fmt.Sprint("before-", i))
			}
			s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
			s.Settle()
			publish(s, published...)
			s.Settle()
			require.Equal(t, test.delay, change("after"))
			require.Equal(t, test.next, change("after that"))
		})
	}
}

func TestFirstChangeAfterAnotherConfigurationRollsOutAtOnceAndTheNextOneToo(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.Settle()
	for i, hash := range []string{"of-the-new-configuration", "first-change"} {
		publish(s, hash, "hash-1", "hash-2")
		s.Settle()
		require.Equal(t, hash, s.State.Connector.Status.Tasks[0].ConfigHash, i)
	}
	publish(s, "second-change", "hash-1", "hash-2")
	s.Settle()
	require.Equal(t, "first-change", s.State.Connector.Status.Tasks[0].ConfigHash, "10 s have not passed")
}

func TestAlternatingNumberOfTasksIsDelayed(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	var restarts []string
	for i := range 12 {
		hashes := []string{fmt.Sprintf("a-%d", i), fmt.Sprintf("b-%d", i), fmt.Sprintf("c-%d", i)}
		publish(s, hashes[:2+i%2]...)
		restarted, _ := playUntil(s, s.State.Now.Add(time.Second))
		restarts = append(restarts, restarted...)
	}
	require.LessOrEqual(t, len(restarts), 4*3)
}

func TestPodThatIsReplacedMeanwhileGetsTheNewestTaskConfig(t *testing.T) {
	t.Parallel()
	s := changedOften(t, false)
	s.Remove("test-tasks-1")
	s.RunPods()
	s.Settle()
	tasks := s.State.Connector.Status.Tasks
	require.Equal(t, "second-1", tasks[1].ConfigHash)
	require.Equal(t, "first-0", tasks[0].ConfigHash)
}

func TestTaskThatNoLongerFindsItsConfigIsReplacedWithoutDelay(t *testing.T) {
	t.Parallel()
	s := changedOften(t, false)
	decidetest.Fail(pod(s, "test-tasks-0"), `{"reason":"TaskConfigStale","message":"hash differs"}`, 1)
	s.Settle()
	require.Equal(t, "second-0", s.State.Connector.Status.Tasks[0].ConfigHash)
}

func TestFurtherTasksStartWithTheDelayedChange(t *testing.T) {
	t.Parallel()
	s := changedOften(t, false)
	publish(s, "third-0", "third-1", "third-2", "third-3", "third-4")
	s.Settle()
	require.Equal(t, "3/3", s.State.Connector.Status.TaskSummary)
	playUntil(s, s.State.Now.Add(10*time.Second))
	s.Settle()
	require.Equal(t, "5/5", s.State.Connector.Status.TaskSummary)
}

func TestExactlyOnceTasksKeepTheirSetUntilTheDelayEnds(t *testing.T) {
	t.Parallel()
	s := changedOften(t, true)
	hashes := s.State.Objects.TaskSet.Spec.Template.Annotations[contract.AnnotationTaskHashes]
	require.Equal(t, "first-0,hash-1,hash-2", hashes)
	require.EqualValues(t, 3, *s.State.Objects.TaskSet.Spec.Replicas)
	playUntil(s, s.State.Now.Add(10*time.Second))
	s.Settle()
	for id, want := range []string{"second-0", "second-1", "hash-2"} {
		require.Equal(t, want, s.State.Connector.Status.Tasks[id].ConfigHash)
	}
}

func TestInvalidHistoryDelaysNothing(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"no JSON", `{"changes":-1}`, `{}`, `[]`} {
		s := changedOften(t, false)
		s.State.Objects.TaskSet.Annotations[observed.AnnotationHistory] = history
		s.Settle()
		require.Equal(t, "second-0", s.State.Connector.Status.Tasks[0].ConfigHash, history)
	}
}

func TestRecordedTimeInTheFutureDelaysNothing(t *testing.T) {
	t.Parallel()
	s := changedOften(t, false)
	s.State.Now = s.State.Now.Add(-24 * time.Hour)
	s.Settle()
	require.Equal(t, "second-0", s.State.Connector.Status.Tasks[0].ConfigHash)
}
