package testkit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// HoldAnnotation on a pod or node, with any value, keeps the simulated kubelet away from it: its status, and the
// deletion of a pod, are then the test's to decide.
const PauseAnnotation = "testkit.weir.dev/hold"

// stages are kwok's own, which leave alone what is held, and those of the caller.
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
		selectors = append(selectors, map[string]any{"key": `.metadata.annotations["` + PauseAnnotation + `"]`, "operator": "DoesNotExist"})
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
