package decide

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Directories at the root of a volume, as kadalu and gluster-bridge lay them out.
const (
	// InfoRoot has a file <two digits>/<two digits>/<directory>.json for each directory.
	InfoRoot = "info"
	// SpoolRoot has a file <directory> for each directory whose size has changed. Its content is not read: it is encoded
	// on the bricks of a disperse volume.
	SpoolRoot = ".weir/spool"
	dataRoot  = "subvol"
	suffix    = ".json"
)

// MaxInfo is the largest file that is read from a brick, in bytes.
const MaxInfo = 64 << 10

// maxBytes keeps sizes away from the largest number, so that they can be rounded up.
const maxBytes = 1 << 60

// maxProject is the largest project id. The id after it means "no project".
const maxProject = 1<<32 - 2

var (
	parentName    = regexp.MustCompile(`^[0-9a-f]{2}/[0-9a-f]{2}$`)
	volumeName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	directoryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$`)
)

// DataPath returns the directory that a file of InfoRoot describes. info is its path relative to InfoRoot.
func DataPath(info string) (string, error) {
	parent, name := path.Split(info)
	directory, isJSON := strings.CutSuffix(name, suffix)
	if !isJSON || !parentName.MatchString(strings.TrimSuffix(parent, "/")) || !directoryName.MatchString(directory) {
		return "", fmt.Errorf("%q does not have the form ab/cd/<directory>.json", info)
	}
	return path.Join(dataRoot, parent, directory), nil
}

// InfoPath returns the file that describes a directory, relative to the root of the volume.
func InfoPath(data string) (string, error) {
	rest, found := strings.CutPrefix(data, dataRoot+"/")
	if _, err := DataPath(rest + suffix); !found || err != nil || path.Clean(data) != data {
		return "", fmt.Errorf("path %q does not have the form subvol/ab/cd/<directory>", data)
	}
	return path.Join(InfoRoot, rest+suffix), nil
}

// InfoDirectory is one of the directories with descriptions, <two digits>/<two digits> below InfoRoot.
type InfoDirectory uint16

// IsInfoDirectory reports whether a name is that of a directory with descriptions, or above one.
func IsInfoDirectory(name string) bool {
	return len(name) == 2 && strings.Trim(name, "0123456789abcdef") == ""
}

// ParseInfoDirectory returns the directory two in the directory one of InfoRoot. found is false for other names.
func ParseInfoDirectory(one, two string) (d InfoDirectory, found bool) {
	if !IsInfoDirectory(one) || !IsInfoDirectory(two) {
		return 0, false
	}
	number, err := strconv.ParseUint(one+two, 16, 16)
	return InfoDirectory(number), err == nil
}

// InfoDirectoryOf returns the directory with the description of a directory. found is false if it cannot have one.
func InfoDirectoryOf(data string) (d InfoDirectory, found bool) {
	one, two, _ := strings.Cut(strings.TrimPrefix(path.Dir(data), dataRoot+"/"), "/")
	return ParseInfoDirectory(one, two)
}

// String returns the path relative to InfoRoot.
func (d InfoDirectory) String() string { return fmt.Sprintf("%02x/%02x", uint16(d)>>8, uint16(d)&0xff) }

// ParseInfo parses the description of a directory. Only its size and project id are used; the path follows from the
// name of the file, so a hostile description cannot name another directory.
func ParseInfo(data string, content []byte) (Target, error) {
	var info struct {
		Size       json.Number `json:"size"`
		PathPrefix string      `json:"path_prefix"`
		ProjectID  json.Number `json:"project_id"`
	}
	if len(bytes.TrimSpace(content)) == 0 {
		return Target{}, errors.New("the description is empty")
	}
	if err := json.Unmarshal(content, &info); err != nil {
		return Target{}, fmt.Errorf("the description is not valid JSON: %w", err)
	}
	size, err := info.Size.Int64()
	if err != nil || size <= 0 || size > maxBytes {
		return Target{}, fmt.Errorf("size %q must be a number of bytes from 1 to 2^60", info.Size.String())
	}
	var project int64
	if info.ProjectID != "" {
		if project, err = info.ProjectID.Int64(); err != nil || project < 0 || project > maxProject {
			return Target{}, fmt.Errorf("project_id %q must be a number from 1 to %d", info.ProjectID.String(),
				int64(maxProject))
		}
	}
	if want := path.Dir(data); strings.Trim(info.PathPrefix, "/") != want {
		return Target{}, fmt.Errorf("path_prefix %q must be %q", info.PathPrefix, want)
	}
	return Target{Path: data, Bytes: size, Project: uint32(project)}, nil //nolint:gosec // checked above
}

// ParseManaged returns the names of the volumes in kadalustorage.info: one name per line, or a list of names in JSON.
func ParseManaged(content []byte) ([]string, error) {
	content = bytes.TrimSpace(content)
	if bytes.HasPrefix(content, []byte("[")) {
		var names []string
		if err := json.Unmarshal(content, &names); err != nil {
			return nil, fmt.Errorf("it is not a list of names in JSON: %w", err)
		}
		return names, nil
	}
	var names []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !volumeName.MatchString(line) {
			return nil, fmt.Errorf("line %q is not the name of a volume; write one name per line", line)
		}
		names = append(names, line)
	}
	return names, nil
}

// SpoolPath returns the directory that a file of SpoolRoot names. found is false for another file.
func SpoolPath(name string) (data string, found bool) {
	if !directoryName.MatchString(name) {
		return "", false
	}
	h := fmt.Sprintf("%016x", xxhash.Sum64String(name))
	return path.Join(dataRoot, h[0:2], h[2:4], name), true
}
