// Package publish hands the task configs of a connector over to those who start its tasks.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/weir-dev/weir/apis/contract"
)

// MaxBytes is how much the values of one Secret may add up to.
const MaxBytes = 1 << 20

// ErrTooLarge says that task configs do not fit into one Secret. Trying again does not help.
var ErrTooLarge = errors.New("the task configs do not fit into one Secret of 1 MiB")

// ErrSuperseded says that a newer generation of the connector has published already. Trying again does not help.
var ErrSuperseded = errors.New("a newer generation of the connector has published its task configs")

// Publisher hands over a whole set of task configs.
type Publisher interface {
	// Publish replaces what is published. changed is false when that was there already, and nothing was written.
	Publish(ctx context.Context, set Set) (changed bool, err error)
}

// Set is a set of task configs as it is published.
type Set struct {
	// Generation of the connector's configuration that the set was computed from.
	Generation string
	// Files by task id.
	Files [][]byte
	// Hash over all of them.
	Hash string
	// ExactlyOnce is set for an exactly-once source.
	ExactlyOnce bool
}

// NewSet encodes task configs. Equal configs have equal files: keys are in order.
func NewSet(generation string, configs []contract.TaskConfig) (Set, error) {
	set := Set{Generation: generation}
	var hashes []string
	total := 0
	for i, c := range configs {
		file, err := json.Marshal(c)
		if err != nil {
			return set, fmt.Errorf("encode the config of task %d: %w", i, err)
		}
		total += len(file)
		set.Files = append(set.Files, file)
		hashes = append(hashes, contract.TaskConfigHash(file))
	}
	if total > MaxBytes {
		return set, fmt.Errorf("%w: %d tasks have %d bytes", ErrTooLarge, len(configs), total)
	}
	set.Hash = contract.TaskConfigsHash(hashes)
	return set, nil
}

// annotations of the Secret.
func (s Set) annotations() map[string]string {
	annotations := map[string]string{
		contract.AnnotationGeneration:      s.Generation,
		contract.AnnotationTaskCount:       strconv.Itoa(len(s.Files)),
		contract.AnnotationTaskConfigsHash: s.Hash,
	}
	if s.ExactlyOnce {
		annotations[contract.AnnotationExactlyOnce] = "true"
	}
	return annotations
}

// data of the Secret.
func (s Set) data() map[string][]byte {
	data := make(map[string][]byte, len(s.Files))
	for i, file := range s.Files {
		data[contract.TaskConfigKey(i)] = file
	}
	return data
}
