package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// AnnotationsFile contains the annotations that the Secret would have.
const AnnotationsFile = "annotations.json"

// Dir publishes to a directory, for use without Kubernetes.
type Dir struct {
	Path string
}

// Publish writes the files and then the annotations. Each file is replaced atomically.
func (d Dir) Publish(_ context.Context, set Set) (bool, error) {
	annotations, err := json.Marshal(set.annotations())
	if err != nil {
		return false, fmt.Errorf("publish task configs: %w", err)
	}
	if have, err := os.ReadFile(filepath.Join(d.Path, AnnotationsFile)); err == nil && bytes.Equal(have, annotations) {
		return false, nil
	}
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return false, fmt.Errorf("publish task configs: %w", err)
	}
	for key, file := range set.Tasks.Data() {
		if err := replace(filepath.Join(d.Path, key), file); err != nil {
			return false, fmt.Errorf("publish task configs: %w", err)
		}
	}
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return false, fmt.Errorf("publish task configs: %w", err)
	}
	for _, e := range entries {
		if leftover(e.Name(), set) {
			if err := os.Remove(filepath.Join(d.Path, e.Name())); err != nil {
				return false, fmt.Errorf("publish task configs: %w", err)
			}
		}
	}
	if err := replace(filepath.Join(d.Path, AnnotationsFile), annotations); err != nil {
		return false, fmt.Errorf("publish task configs: %w", err)
	}
	return true, nil
}

func replace(path string, content []byte) error {
	temp := path + ".tmp"
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
