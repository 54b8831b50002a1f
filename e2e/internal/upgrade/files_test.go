//go:build linux

package upgrade

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// suffix is that of the files in testdata: one JSON object per line. The name before it is the revision of the services
// that have made the objects.
const suffix = ".jsonl.gz"

func write(t *testing.T, file string, objects []*unstructured.Unstructured) {
	t.Helper()
	out, err := os.Create(file)
	require.NoError(t, err)
	compressed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	require.NoError(t, err)
	encoder := json.NewEncoder(compressed)
	for _, object := range objects {
		require.NoError(t, encoder.Encode(object.Object))
	}
	require.NoError(t, errors.Join(compressed.Close(), out.Close()))
}

func read(file string) ([]*unstructured.Unstructured, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	compressed, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	decoder := json.NewDecoder(compressed)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(file), err)
		}
		objects = append(objects, object)
	}
}
