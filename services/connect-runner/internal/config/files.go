package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-dev/weir/apis/contract"
)

// ReadRunner reads the RunnerConfig. A missing file is an empty RunnerConfig. unknown lists fields that this version
// does not have: a newer connect-scheduler may run an older image.
func (c *Config) ReadRunner() (runner contract.RunnerConfig, unknown []string, err error) {
	file, err := os.ReadFile(c.RunnerConfig)
	if errors.Is(err, os.ErrNotExist) {
		return runner, nil, nil
	}
	if err != nil {
		return runner, nil, fmt.Errorf("read %s: %w", c.RunnerConfig, err)
	}
	var wrongType *json.UnmarshalTypeError
	if err := json.Unmarshal(file, &runner); errors.As(err, &wrongType) && wrongType.Field != "" {
		return runner, nil, fmt.Errorf("%s: %s must be %s, not a JSON %s",
			c.RunnerConfig, wrongType.Field, describeType(wrongType.Type), wrongType.Value)
	} else if err != nil {
		return runner, nil, fmt.Errorf("%s is not a valid JSON object: %w", c.RunnerConfig, err)
	}
	if unknown, err = unknownFields(file); err != nil {
		return runner, nil, fmt.Errorf("%s is not a valid JSON object: %w", c.RunnerConfig, err)
	}
	runner.LogFile = c.expand(runner.LogFile)
	for i, option := range runner.JVMOptions {
		runner.JVMOptions[i] = c.expand(option)
	}
	return runner, unknown, nil
}

// describeType names a Go type in terms of JSON.
func describeType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list of which each element is " + describeType(t.Elem())
	default:
		return "an object"
	}
}

// unknownFields returns the fields of a RunnerConfig that this version does not have, ordered by name.
func unknownFields(file []byte) ([]string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(file, &fields); err != nil {
		return nil, err
	}
	t := reflect.TypeFor[contract.RunnerConfig]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		maps.DeleteFunc(fields, func(field string, _ json.RawMessage) bool { return strings.EqualFold(field, name) })
	}
	return slices.Sorted(maps.Keys(fields)), nil
}

// expand replaces $(NAME) of a known environment variable, as Kubernetes does in container arguments. All pods of a
// StatefulSet share one RunnerConfig but need different log files.
func (c *Config) expand(text string) string {
	for _, variable := range []struct{ name, value string }{
		{contract.EnvConnector, c.Name},
		{contract.EnvNamespace, c.Namespace},
		{contract.EnvPod, c.Pod},
		{contract.EnvNode, c.Node},
		{contract.EnvTaskID, c.TaskID},
	} {
		if variable.value != "" {
			text = strings.ReplaceAll(text, "$("+variable.name+")", variable.value)
		}
	}
	return text
}

// ReadTask reads the mounted task config in either format and compares it with the hash in the pod's environment.
// Every error means that the pod has to be started again or replaced.
func (c *Config) ReadTask() (contract.TaskConfig, error) {
	id, err := c.Task()
	if err != nil {
		return contract.TaskConfig{}, err
	}
	file, err := readMounted(c.TaskConfig)
	if errors.Is(err, errIsDirectory) {
		return contract.TaskConfig{}, fmt.Errorf("the mounted config of task %d is a directory: key %s did not exist when "+
			"this pod was created; the pod must be replaced", id, contract.TaskConfigKey(id))
	}
	if err != nil {
		return contract.TaskConfig{}, fmt.Errorf("read the config of task %d: %w", id, err)
	}
	// A missing common part is an error only if the task config refers to it.
	common, err := readMounted(c.TaskCommon)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errIsDirectory) {
		return contract.TaskConfig{}, fmt.Errorf("read the common part of the task configs: %w", err)
	}
	task, hash, err := contract.NewTaskConfigReader(common).Read(file)
	if err != nil {
		return task, fmt.Errorf("the mounted config of task %d %w", id, err)
	}
	if c.TaskHashes == "" {
		return task, nil
	}
	hashes := strings.Split(c.TaskHashes, ",")
	if id >= len(hashes) {
		return task, fmt.Errorf("task %d does not exist; this pod was created for %d tasks", id, len(hashes))
	}
	if hash != hashes[id] {
		return task, fmt.Errorf("the mounted config of task %d has hash %s; this pod was created for hash %s",
			id, hash, hashes[id])
	}
	return task, nil
}

// errIsDirectory means that the kubelet has mounted a directory instead of a file: a subPath mount does so if the
// Secret has no such key.
var errIsDirectory = errors.New("is a directory")

func readMounted(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errIsDirectory
	}
	return os.ReadFile(path)
}
