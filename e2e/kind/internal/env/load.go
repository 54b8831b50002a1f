package env

import (
	"context"
	"encoding/json"
	"fmt"
)

// Tally is what a topic holds of the records of tasks that count: each writes its id and the next number.
type Tally struct {
	// Records is how many there are.
	Records int64 `json:"records"`
	// Distinct is how many differ from each other.
	Distinct int64 `json:"distinct"`
	// Missing is how many numbers are left out below the highest of each task.
	Missing int64 `json:"missing"`
	// Keys is the number of tasks.
	Keys int `json:"keys"`
	// PerKey is how many records each task has written.
	PerKey map[string]int64 `json:"perKey"`
}

// Duplicated is how many records are there once more.
func (t Tally) Duplicated() int64 { return t.Records - t.Distinct }

// Count reads a whole topic by means of the pod `load`.
func (e *Env) Count(ctx context.Context, namespace, topic string) (Tally, error) {
	out, err := e.Kubectl(ctx, "exec", "-n", namespace, "load", "--", "load", "count", "--topic", topic)
	if err != nil {
		return Tally{}, err
	}
	var tally Tally
	if err := json.Unmarshal([]byte(out), &tally); err != nil {
		return Tally{}, fmt.Errorf("count %s: %w: %s", topic, err, out)
	}
	return tally, nil
}
