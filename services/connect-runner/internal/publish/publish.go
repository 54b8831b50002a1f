// Package publish writes the connector's task configs to the Secret that connect-scheduler reads.
package publish

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/weir-dev/weir/apis/contract"
)

// MaxBytes is the maximum total size of the values of one Secret.
const MaxBytes = 1 << 20

// MaxPlainBytes is the size up to which a set uses the plain format.
const MaxPlainBytes = MaxBytes / 2

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
	// Tasks are the encoded configs.
	Tasks contract.EncodedTaskConfigs
	// Hash of the whole set.
	Hash string
	// ExactlyOnce is true for an exactly-once source.
	ExactlyOnce bool
	// Sink is true for a sink.
	Sink bool
}

// NewSet encodes task configs. Small sets use the plain format, which every version of connect-runner reads. Sets of
// more than MaxPlainBytes use the compact format if the tasks' pods can read it.
func NewSet(generation string, configs []contract.TaskConfig, compact bool) (Set, error) {
	set := Set{Generation: generation}
	var err error
	if set.Tasks, err = contract.EncodeTaskConfigs(configs); err != nil {
		return set, err
	}
	if compact && set.Tasks.Size() > MaxPlainBytes {
		if set.Tasks, err = contract.EncodeCompactTaskConfigs(configs); err != nil {
			return set, err
		}
	}
	if size := set.Tasks.Size(); size > MaxBytes {
		return set, fmt.Errorf(
			"%w: %d tasks need %d bytes; use fewer tasks or smaller configs",
			ErrTooLarge,
			len(configs),
			size,
		)
	}
	set.Hash = contract.TaskConfigsHash(set.Tasks.Hashes)
	return set, nil
}

// annotations returns the annotations of the Secret.
func (s Set) annotations() map[string]string {
	annotations := map[string]string{
		contract.AnnotationGeneration:      s.Generation,
		contract.AnnotationTaskCount:       strconv.Itoa(len(s.Tasks.Files)),
		contract.AnnotationTaskConfigsHash: s.Hash,
		contract.AnnotationConnectorType:   contract.ConnectorTypeSource,
	}
	if s.Sink {
		annotations[contract.AnnotationConnectorType] = contract.ConnectorTypeSink
	}
	if s.ExactlyOnce {
		annotations[contract.AnnotationExactlyOnce] = "true"
	}
	return annotations
}
