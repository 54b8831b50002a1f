package taskset

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
)

const (
	// firstDelay is the time between the first and the second change of task configs that roll out. Each further change
	// doubles it.
	firstDelay = 10 * time.Second
	// maxDelay is the longest time between two changes that roll out.
	maxDelay = 5 * time.Minute
	// quietPeriod is the time without a change after which the next change rolls out at once.
	quietPeriod = 10 * time.Minute
)

// history describes the last set of task configs that has rolled out: the value of observed.AnnotationHistory.
type history struct {
	// Hash identifies the set of task configs, Generation the newest configuration of the connector for which the
	// connector has published this set.
	Hash       string `json:"hash"`
	Generation string `json:"generation"`
	// Tasks is the number of task configs.
	Tasks int `json:"tasks"`
	// Changes is the number of changes without a quiet period between them, since the last change of the configuration.
	Changes int `json:"changes"`
	// Time is the time of the change.
	Time metav1.Time `json:"time"`
}

// Delay describes a change of task configs that has not rolled out because the connector changes them too often.
type Delay struct {
	// Until is the time at which the newest change rolls out.
	Until time.Time
	// Changes is the number of previous changes without a quiet period between them.
	Changes int
	// Tasks is the number of task configs of the newest change.
	Tasks int
}

// Damp returns the set with a Delay if the connector has changed its task configs too often. Changes of the
// connector's configuration and changes to fewer tasks are never delayed.
//
// While a change is delayed the StatefulSet has the newest task configs, because a pod that is replaced reads them from
// the Secret. Running tasks keep their configs, and further tasks do not start: they could do the work of others twice.
// The tasks of an exactly-once source may only change together, so their StatefulSet keeps the previous set.
func (t Set) Damp(now time.Time) Set {
	if t.Condition.Status != metav1.ConditionTrue {
		return t
	}
	running, timestamp := t.Running, metav1.NewTime(now).Rfc3339Copy()
	last, isRecorded := parseHistory(t.History)
	// A time in the future, for example after the clock was corrected, must not delay changes for longer than maxDelay.
	isRecorded = isRecorded && !last.Time.After(now)
	if !isRecorded {
		last = history{
			Hash: contract.TaskConfigsHash(running.Hashes), Generation: t.Generation, Tasks: len(running.Hashes),
			Time: timestamp,
		}
	}
	newest := history{
		Hash: contract.TaskConfigsHash(t.Hashes), Generation: t.Generation, Tasks: len(t.Hashes),
		Changes: last.Changes + 1, Time: timestamp,
	}
	until := last.Time.Add(delay(last.Changes))
	switch {
	case newest.Hash == last.Hash:
		// Another configuration of the connector that leaves its task configs equal is not a change. Its generation is
		// recorded, so that the next change of the task configs is not taken for a change of the configuration.
		newest.Changes, newest.Time = last.Changes, last.Time
	case !running.Exists, newest.Generation != last.Generation, len(running.Hashes) == 0 && last.Changes == 0:
		// A first set of task configs is not a change.
		newest.Changes = 0
	case newest.Tasks < last.Tasks, running.Replicas == 0:
		// Without running tasks, none restarts.
		newest.Changes, newest.Time = last.Changes, last.Time
	case !now.Before(last.Time.Add(quietPeriod)):
		newest.Changes = 1
	case !until.After(now):
	default:
		t.Delay = &Delay{Until: until, Changes: last.Changes, Tasks: newest.Tasks}
		if t.ExactlyOnce {
			t.Hashes = running.Hashes
			return t
		}
		return t.Limit(last.Tasks)
	}
	t.History = newest.String()
	return t
}

// DelayedUntil returns the time at which a delayed change rolls out. It is zero if no change is delayed.
func (t Set) DelayedUntil() time.Time {
	if t.Delay == nil {
		return time.Time{}
	}
	return t.Delay.Until
}

// delay returns the time from a change until the next change may roll out. changes is the number of changes so far.
func delay(changes int) time.Duration {
	if changes == 0 {
		return 0
	}
	// The limit prevents an overflow.
	return min(maxDelay, firstDelay<<min(changes-1, 10))
}

func parseHistory(annotation string) (history, bool) {
	var h history
	err := json.Unmarshal([]byte(annotation), &h)
	return h, err == nil && h.Changes >= 0 && h.Tasks >= 0
}

func (h history) String() string {
	encoded, err := json.Marshal(h)
	if err != nil {
		panic(fmt.Sprintf("encode the history of task configs: %v", err)) // strings and numbers can always be encoded
	}
	return string(encoded)
}
