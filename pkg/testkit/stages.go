package testkit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// PauseAnnotation on a pod or node, with any value, makes the simulated kubelet ignore it. The test then sets its
// status and completes the deletion of a pod.
const PauseAnnotation = "testkit.weir.dev/paused"

// ProcessNodePrefix is the prefix of the names of nodes whose pods run as processes, see package kubelet. The simulated
// kubelet ignores their pods.
const ProcessNodePrefix = "process-"

// stages returns kwok's stages, changed to ignore paused objects, and additional ones.
func stages(dir string, more []string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var stage unstructured.Unstructured
		if err := yaml.Unmarshal(data, &stage.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		const field = "matchExpressions"
		selectors, _, err := unstructured.NestedSlice(stage.Object, "spec", "selector", field)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		selectors = append(
			selectors,
			map[string]any{"key": `.metadata.annotations["` + PauseAnnotation + `"]`, "operator": "DoesNotExist"},
			map[string]any{
				"key":      `(.spec.nodeName // "") | if startswith("` + ProcessNodePrefix + `") then "process" else "" end`,
				"operator": "NotIn", "values": []any{"process"},
			},
		)
		if err := unstructured.SetNestedSlice(stage.Object, selectors, "spec", "selector", field); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		if data, err = yaml.Marshal(stage.Object); err != nil {
			return nil, err
		}
		all.WriteString("---\n")
		all.Write(data)
	}
	for _, stage := range more {
		all.WriteString("\n---\n" + stage)
	}
	return all.Bytes(), nil
}
