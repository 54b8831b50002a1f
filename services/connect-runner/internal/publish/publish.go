// Package publish writes the connector's task configs to the Secret that connect-scheduler reads.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/weir-dev/weir/apis/contract"
)

// MaxBytes is the maximum total size of the values of one Secret.
const MaxBytes = 1 << 20

// ErrTooLarge means that the task configs exceed the size of one Secret. A retry does not help.
var ErrTooLarge = errors.New("the task configs exceed the size of one Secret (1 MiB)")

// ErrSuperseded means that a newer generation of the connector has published its task configs. A retry does not help.
var ErrSuperseded = errors.New("a newer generation of the connector has published its task configs")

// Publisher publishes sets of task configs.
type Publisher interface {
	// Publish replaces the published set. changed is false if the same set was already published.
	Publish(ctx context.Context, set Set) (changed bool, err error)
}

// Set is an encoded set of task configs.
type Set struct {
	// Generation of the connector's configuration that the set was computed from.
	Generation string
	// Files by task id.
	Files [][]byte
	// Hash of the whole set.
	Hash string
	// ExactlyOnce is true for an exactly-once source.
	ExactlyOnce bool
}

// NewSet encodes task configs. Keys are sorted, so that equal configs have equal files.
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

// annotations returns the annotations of the Secret.
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

// data returns the data of the Secret.
func (s Set) data() map[string][]byte {
	data := make(map[string][]byte, len(s.Files))
	for i, file := range s.Files {
		data[contract.TaskConfigKey(i)] = file
	}
	return data
}
