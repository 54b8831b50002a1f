package decide

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// maxProject is the largest XFS project id that is allowed in the spec of a GlusterVolume.
const maxProject = 1<<32 - 2

// ProjectRange is the range of XFS project ids that gluster-bridge allocates.
type ProjectRange struct{ First, Last int64 }

// DefaultProjects leaves the ids that administrators choose by hand, which are small, to them.
var DefaultProjects = ProjectRange{1 << 30, 1<<31 - 1}

// ParseProjectRange parses <first>-<last>.
func ParseProjectRange(text string) (ProjectRange, error) {
	first, last, _ := strings.Cut(text, "-")
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(last, 10, 64)
	if errA != nil || errB != nil || a < 1 || b > maxProject || a > b {
		return ProjectRange{}, fmt.Errorf("must be <first>-<last>, with ids from 1 to %d, for example %s", int64(maxProject),
			DefaultProjects)
	}
	return ProjectRange{a, b}, nil
}

// String is the form that ParseProjectRange parses.
func (r ProjectRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Allocate returns an id that is not used. The search starts at a hash of the volume: the ids of two Kubernetes
// clusters that share a GlusterFS cluster rarely meet, an id that was freed is not used again at once, and a volume
// whose metadata was lost usually gets its previous id. count is the number of used ids.
func (r ProjectRange) Allocate(volume string, count int, used func(int64) bool) (int64, error) {
	size := r.Last - r.First + 1
	sum := sha256.Sum256([]byte(volume))
	start := int64(binary.BigEndian.Uint64(sum[:8]) % uint64(size)) //nolint:gosec // size is less than 2^32
	for i := int64(0); i < size && i <= int64(count); i++ {
		if id := r.First + (start+i)%size; !used(id) {
			return id, nil
		}
	}
	return 0, fmt.Errorf("all project ids of the range %s are used; use a larger range", r)
}
