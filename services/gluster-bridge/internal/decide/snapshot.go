package decide

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// Directories of snapshots, below the root of a GlusterFS volume.
const (
	// SnapshotDataRoot has the copies of directories.
	SnapshotDataRoot = OwnRoot + "/snapshots"
	// SnapshotInfoRoot has their metadata.
	SnapshotInfoRoot = OwnRoot + "/snapshot-info"
)

// snapshotPrefix starts the last element of a snapshot id, so that it is never the id of a volume.
const snapshotPrefix = "@"

// SnapshotDataPath returns the path of the copy, relative to the root of the GlusterFS volume.
func SnapshotDataPath(directory string) string {
	return path.Join(SnapshotDataRoot, prefix(directory), directory)
}

// SnapshotInfoPath returns the path of the metadata of a snapshot.
func SnapshotInfoPath(directory string) string {
	return path.Join(SnapshotInfoRoot, prefix(directory), directory+".json")
}

// SnapshotInfo is the metadata of a snapshot.
type SnapshotInfo struct {
	// Name is the name that the CreateSnapshot request had.
	Name string `json:"name"`
	// Storage is the KadaluStorage, as <namespace>/<name>.
	Storage string `json:"storage"`
	// Source is the directory of the volume.
	Source string `json:"source"`
	// Size is the size of the source when the snapshot was created, in bytes.
	Size int64 `json:"size"`
	// Created is the time of the request.
	Created time.Time `json:"created"`
	// Ready is true when all files are copied.
	Ready bool `json:"ready"`
	// Progress of the copy.
	Progress Progress `json:"progress"`
}

// Progress of a copy.
type Progress struct {
	// Bytes and Files that are copied.
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

// Reserved is the space that a snapshot needs, in bytes.
func (s SnapshotInfo) Reserved() int64 {
	if s.Ready {
		return s.Progress.Bytes
	}
	return s.Size
}

// Encode returns the JSON form.
func (s SnapshotInfo) Encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // SnapshotInfo has only strings, numbers and a time.
	}
	return append(data, '\n')
}

// ParseSnapshotInfo parses the metadata of a snapshot.
func ParseSnapshotInfo(directory string, data []byte) (SnapshotInfo, error) {
	var s SnapshotInfo
	if err := json.Unmarshal(bytes.TrimSpace(data), &s); err != nil {
		return SnapshotInfo{}, fmt.Errorf("metadata of snapshot %q is not valid JSON: %w", directory, err)
	}
	switch {
	case s.Size <= 0 || s.Progress.Bytes < 0 || s.Progress.Files < 0:
		return SnapshotInfo{}, fmt.Errorf("metadata of snapshot %q: size %d and progress %+v must not be negative", directory,
			s.Size, s.Progress)
	case DirectoryOf(s.Name) != directory:
		return SnapshotInfo{}, fmt.Errorf("metadata of snapshot %q: name %q belongs to another snapshot", directory, s.Name)
	case !ValidDirectory(s.Source):
		return SnapshotInfo{}, fmt.Errorf("metadata of snapshot %q: source %q is not a directory name", directory, s.Source)
	}
	return s, nil
}

// SnapshotID is the CSI id of a snapshot.
func SnapshotID(id VolumeID) string { return id.StorageID() + "/" + snapshotPrefix + id.Directory }

// ParseSnapshotID parses the id of a snapshot. Only ids that SnapshotID can have returned are valid.
func ParseSnapshotID(id string) (VolumeID, error) {
	storage, directory, found := strings.Cut(id, "/"+snapshotPrefix)
	if !found || len(id) > 128 || !ValidDirectory(directory) {
		return VolumeID{}, errors.New("a snapshot id has the form <namespace>/<storage>/@<directory>")
	}
	v, err := ParseVolumeID(storage + "/")
	v.Directory = directory
	return v, err
}

// Kinds of sources of a volume.
const (
	SourceVolume   = "volume/"
	SourceSnapshot = "snapshot/"
)

// SourcePath returns the directory that a volume is copied from, relative to the root of the GlusterFS volume.
func SourcePath(source string) (string, error) {
	kind, directory, _ := strings.Cut(source, "/")
	switch {
	case !ValidDirectory(directory):
	case kind+"/" == SourceVolume:
		return DataPath(directory), nil
	case kind+"/" == SourceSnapshot:
		return SnapshotDataPath(directory), nil
	}
	return "", fmt.Errorf("source %q is not valid", source)
}
