package testkit

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write golden files instead of comparing them (or UPDATE_GOLDEN=1)")

// Golden compares objects, as a YAML stream, with a file. With -update or UPDATE_GOLDEN=1 it writes the file.
func Golden(t testing.TB, path string, objects ...any) {
	t.Helper()
	got, err := goldenYAML(objects)
	if err != nil {
		t.Fatal(err)
	}
	if *update || os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the golden file (create it with go test -update): %v", err)
	}
	assert.Equal(t, string(want), string(got), "%s differs; update it with go test -update", path)
}

func goldenYAML(objects []any) ([]byte, error) {
	var all bytes.Buffer
	for i, object := range objects {
		if i > 0 {
			all.WriteString("---\n")
		}
		data, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("marshal %T: %w", object, err)
		}
		all.Write(data)
	}
	return all.Bytes(), nil
}
