package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/weir-dev/weir/apis/contract"
)

// ReadRunner reads the RunnerConfig. A missing file is an empty RunnerConfig.
func (c *Config) ReadRunner() (contract.RunnerConfig, error) {
	var runner contract.RunnerConfig
	file, err := os.ReadFile(c.RunnerConfig)
	if errors.Is(err, os.ErrNotExist) {
		return runner, nil
	}
	if err != nil {
		return runner, fmt.Errorf("read runner configuration: %w", err)
	}
	if err := json.Unmarshal(file, &runner); err != nil {
		return runner, fmt.Errorf("read runner configuration %s: %w", c.RunnerConfig, err)
	}
	runner.LogFile = c.expand(runner.LogFile)
	for i, option := range runner.JVMOptions {
		runner.JVMOptions[i] = c.expand(option)
	}
	return runner, nil
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

// CheckTask compares the mounted task config with the hash in the pod's environment.
func (c *Config) CheckTask() error {
	id, err := c.Task()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.TaskConfig)
	if err != nil {
		return fmt.Errorf("read the config of task %d: %w", id, err)
	}
	var task contract.TaskConfig
	if err := json.Unmarshal(file, &task); err != nil || task.Connector == nil || task.Task == nil {
		return fmt.Errorf("the config of task %d is incomplete", id)
	}
	if c.TaskHashes == "" {
		return nil
	}
	hashes := strings.Split(c.TaskHashes, ",")
	if id >= len(hashes) {
		return fmt.Errorf("task %d does not exist; this pod was created for %d tasks", id, len(hashes))
	}
	if got := contract.TaskConfigHash(file); got != hashes[id] {
		return fmt.Errorf(
			"the mounted config of task %d has hash %s; this pod was created for hash %s",
			id,
			got,
			hashes[id],
		)
	}
	return nil
}
