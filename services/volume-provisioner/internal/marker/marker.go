//go:build linux

// Package marker reads and writes the marker file of a volume's directory.
package marker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

// maxSize is the largest size of a marker file. The pods of the volume can write to it.
const maxSize = 4096

// ErrInvalid means that a directory has a marker file that is not a marker.
var ErrInvalid = errors.New("not a marker")

// Parse parses the content of a marker file. Unknown fields are ignored: a newer version may have written them.
func Parse(data []byte) (*storagev1alpha1.DirectoryMarker, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	var m storagev1alpha1.DirectoryMarker
	if err := decoder.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it has more than one JSON value", ErrInvalid)
	}
	if m.ID == "" {
		return nil, fmt.Errorf("%w: it has no id", ErrInvalid)
	}
	return &m, nil
}

// Format returns the content of a marker file.
func Format(m storagev1alpha1.DirectoryMarker) ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the marker of %s: %w", m.ID, err)
	}
	return append(data, '\n'), nil
}

// Read reads the marker of a directory. It returns nil if there is none, and an error that is ErrInvalid if the marker
// file exists and cannot be used.
func Read(d *node.Dir) (*storagev1alpha1.DirectoryMarker, error) {
	data, err := d.ReadFile(disk.MarkerFile, maxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case IsUnusable(err):
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	case err != nil:
		return nil, err
	}
	return Parse(data)
}

// Write writes the marker of a directory. It replaces nothing but an incomplete write.
func Write(d *node.Dir, m storagev1alpha1.DirectoryMarker) error {
	existing, err := Read(d)
	if err != nil {
		return err
	}
	if existing != nil {
		return fmt.Errorf("directory %s already has the marker of %s", d.Name(), existing.ID)
	}
	data, err := Format(m)
	if err != nil {
		return err
	}
	return d.WriteFile(disk.MarkerFile, data, 0o644)
}
