package decide

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Directories at the root of a GlusterFS volume.
const (
	// DataRoot has the directories of persistent volumes.
	DataRoot = "subvol"
	// InfoRoot has the metadata of persistent volumes.
	InfoRoot = "info"
	// OwnRoot has what only Weir uses.
	OwnRoot = ".weir"
	// TrashDir has the directories that are being removed.
	TrashDir = OwnRoot + "/trash"
	// SpoolDir has one file for each change of a size, for a standalone quotad. The file is removed when statfs of every
	// online brick shows the size.
	SpoolDir = OwnRoot + "/spool"
	// OwnerFile names the persistent volume that the whole GlusterFS volume is.
	OwnerFile = OwnRoot + "/volume.json"
	// ArchivedPrefix is the prefix of an archived directory.
	ArchivedPrefix = "archived-"
)

// maxDirectory is the longest directory name that is used as it is.
const maxDirectory = 40

var plainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// DirectoryOf returns the name of the directory of a volume. It is the name of the volume, or a hash if that is too
// long or is not a DNS name. A name of 40 characters or less without .. cannot be such a hash.
func DirectoryOf(volume string) string {
	if len(volume) <= maxDirectory && plainName.MatchString(volume) && !strings.Contains(volume, "..") &&
		!strings.HasPrefix(volume, ArchivedPrefix) && !strings.HasPrefix(volume, hashPrefix) {
		return volume
	}
	sum := sha256.Sum256([]byte(volume))
	return hashPrefix + hex.EncodeToString(sum[:16])
}

const hashPrefix = "sha256-"

// DataPath returns the path of a directory relative to the root of the GlusterFS volume, as kadalu lays it out.
func DataPath(directory string) string { return path.Join(DataRoot, prefix(directory), directory) }

// InfoPath returns the path of the metadata of a directory.
func InfoPath(directory string) string {
	return path.Join(InfoRoot, prefix(directory), directory+".json")
}

// prefix spreads directories over 65536 parents.
func prefix(directory string) string {
	h := fmt.Sprintf("%016x", xxhash.Sum64String(directory))
	return h[0:2] + "/" + h[2:4]
}

// Info is the metadata of a directory. kadalu reads size and path_prefix.
type Info struct {
	// Size in bytes.
	Size int64 `json:"size"`
	// PathPrefix is the path of the parent directory.
	PathPrefix string `json:"path_prefix"`
	// Name is the name that the CreateVolume request had. It is empty for volumes of kadalu.
	Name string `json:"name,omitempty"`
	// ProjectID is the XFS project id, 0 if none is allocated.
	ProjectID int64 `json:"project_id,omitempty"`
	// Storage is the KadaluStorage, as <namespace>/<name>. It is empty for volumes of kadalu that were not adopted yet.
	Storage string `json:"storage,omitempty"`
	// Source is what the volume was copied from, volume/<directory> or snapshot/<directory>, or empty.
	Source string `json:"source,omitempty"`
	// Copying is true until all files of Source are copied.
	Copying bool `json:"copying,omitempty"`
	// Progress of the copy.
	Progress *Progress `json:"progress,omitempty"`
}

// MaxInfo is the largest metadata file that is read, in bytes.
const MaxInfo = 64 << 10

// ParseInfo parses the metadata of a directory. Fields of other versions are ignored.
func ParseInfo(directory string, data []byte) (Info, error) {
	var i Info
	if err := json.Unmarshal(bytes.TrimSpace(data), &i); err != nil {
		return Info{}, fmt.Errorf("metadata of %q is not valid JSON: %w", directory, err)
	}
	if i.Size <= 0 {
		return Info{}, fmt.Errorf("metadata of %q: size %d must be greater than 0", directory, i.Size)
	}
	// A whole GlusterFS volume has no directory.
	if want := path.Join(DataRoot, prefix(directory)); strings.Trim(i.PathPrefix, "/") != want && directory != "" {
		return Info{}, fmt.Errorf("metadata of %q: path_prefix %q must be %q", directory, i.PathPrefix, want)
	}
	if i.ProjectID < 0 || i.ProjectID > maxProject {
		return Info{}, fmt.Errorf("metadata of %q: project_id %d is not valid", directory, i.ProjectID)
	}
	if i.Source != "" {
		if _, err := SourcePath(i.Source); err != nil {
			return Info{}, fmt.Errorf("metadata of %q: %w", directory, err)
		}
	}
	return i, nil
}

// NewInfo returns the metadata of a new directory.
func NewInfo(name string, size int64) Info {
	return Info{Size: size, PathPrefix: path.Join(DataRoot, prefix(DirectoryOf(name))), Name: name}
}

// Spool is the content of a file in SpoolDir.
type Spool struct {
	Path      string `json:"path"`
	Size      int64  `json:"size"`
	ProjectID int64  `json:"projectID"`
}

// SpoolPath returns the path of the spool file of a directory.
func SpoolPath(directory string) string { return path.Join(SpoolDir, directory) }

// Encode returns the JSON form.
func (s Spool) Encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // Spool has only strings and numbers.
	}
	return append(data, '\n')
}

// Encode returns the JSON form.
func (i Info) Encode() []byte {
	data, err := json.Marshal(i)
	if err != nil {
		panic(err) // Info has only strings and numbers.
	}
	return append(data, '\n')
}

// VolumeID identifies a persistent volume: <namespace>/<storage>/<directory>. The directory is empty if the volume is
// the whole GlusterFS volume, whose id ends with a slash.
type VolumeID struct{ Namespace, Storage, Directory string }

// String is the volume id of CSI.
func (v VolumeID) String() string { return v.Namespace + "/" + v.Storage + "/" + v.Directory }

// StorageID is the namespace and name of the storage.
func (v VolumeID) StorageID() string { return v.Namespace + "/" + v.Storage }

// Whole reports whether the volume is a whole GlusterFS volume.
func (v VolumeID) Whole() bool { return v.Directory == "" }

// ValidDirectory reports whether a name can be the directory of a volume.
func ValidDirectory(name string) bool {
	return plainName.MatchString(name) && !strings.Contains(name, "..") && !strings.HasPrefix(name, ArchivedPrefix)
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// ParseVolumeID parses a volume id. Only ids that String can have returned are valid, so no path can leave its parent.
func ParseVolumeID(id string) (VolumeID, error) {
	namespace, rest, one := strings.Cut(id, "/")
	storage, directory, two := strings.Cut(rest, "/")
	v := VolumeID{namespace, storage, directory}
	switch {
	case !one || !two || len(id) > 128 || !label.MatchString(namespace) || !label.MatchString(storage):
		return VolumeID{}, errors.New("a volume id has the form <namespace>/<storage>/<directory>")
	case directory != "" && !ValidDirectory(directory):
		return VolumeID{}, fmt.Errorf("the directory %q of the volume id is not valid", directory)
	}
	return v, nil
}
