package env

import (
	"context"
	"encoding/json"
	"fmt"
)

// Tally summarizes a topic of numbered records: each task writes its ID and the next number.
type Tally struct {
	// Records is the number of records, duplicates included.
	Records int64 `json:"records"`
	// Distinct is the number of different records.
	Distinct int64 `json:"distinct"`
	// Missing is the number of gaps below the highest number of each task.
	Missing int64 `json:"missing"`
	// Keys is the number of tasks.
	Keys int `json:"keys"`
	// PerKey is the number of records of each task.
	PerKey map[string]int64 `json:"perKey"`
}

// Duplicated returns the number of duplicate records.
func (t Tally) Duplicated() int64 { return t.Records - t.Distinct }

// Count reads a whole topic in the pod load.
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

// Written summarizes the writes of a pod to a volume.
type Written struct {
	// Writes is the number of successful writes, Failed that of failed ones.
	Writes int64 `json:"writes"`
	Failed int64 `json:"failed"`
	// Outages are the times without a successful write, in seconds.
	Outages []float64 `json:"outages"`
	// Down is true after a failed write.
	Down bool `json:"down"`
	// Error is the last one.
	Error string `json:"error"`
}
