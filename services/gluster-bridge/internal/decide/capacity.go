package decide

import (
	"fmt"
	"math"
)

// DefaultSize is the size of a volume whose request has no size.
const DefaultSize = 1 << 30

// SizeOf returns the size of a volume for the range of a request.
func SizeOf(required, limit int64) (int64, error) {
	switch {
	case required < 0 || limit < 0:
		return 0, fmt.Errorf("capacity_range %d to %d: sizes must not be negative", required, limit)
	case limit > 0 && required > limit:
		return 0, fmt.Errorf("capacity_range: required_bytes %d is greater than limit_bytes %d", required, limit)
	case required > 0:
		return required, nil
	case limit > 0:
		return min(limit, DefaultSize), nil
	}
	return DefaultSize, nil
}

// Fits returns an error if a volume of the size would overcommit a GlusterFS volume. Each size is compared by
// subtraction, so that the sum cannot overflow.
func Fits(capacity, provisioned, size int64) error {
	if free := Free(capacity, provisioned); size > free {
		return fmt.Errorf("%d bytes are requested and %d of %d bytes are not provisioned; request less, or enlarge the "+
			"GlusterFS volume", size, free, capacity)
	}
	return nil
}

// Free returns the bytes that are not provisioned.
func Free(capacity, provisioned int64) int64 {
	if provisioned < 0 {
		provisioned = math.MaxInt64
	}
	return max(0, capacity-provisioned)
}

// SameVolume returns an error if an existing volume does not satisfy a request with the same name.
func SameVolume(info Info, name string, size, limit int64, source string) error {
	switch {
	case info.Name != "" && info.Name != name:
		return fmt.Errorf("the directory belongs to the volume %q", info.Name)
	case info.Source != source:
		return fmt.Errorf("the volume exists with the content source %q; use another name", info.Source)
	case info.Size < size || limit > 0 && info.Size > limit:
		return fmt.Errorf("the volume exists with %d bytes, and %d are requested; use another name", info.Size, size)
	}
	return nil
}

// Verdict says whether a GlusterFS volume can be used.
type Verdict struct {
	// Problem is empty if the volume can be used.
	Problem string
	// Sharded is true if Problem is about sharding; otherwise it is about distribution or the version.
	Sharded, Distributed bool
}

// Compatible checks a volume. The size of a directory can be limited only if every brick has the whole directory. A
// whole volume has no such limit.
func Compatible(g Graph, version string, native bool) Verdict {
	if problem := CheckVersion(version); problem != "" {
		return Verdict{Problem: problem}
	}
	if !native {
		return Verdict{}
	}
	if g.Distribute > 1 {
		return Verdict{Distributed: true, Problem: fmt.Sprintf("the GlusterFS volume is distributed over %d subvolumes, so "+
			"the size of a directory cannot be limited; use a volume of type Replicate, Disperse or Arbiter with one "+
			"subvolume, or kadalu-format: false", g.Distribute)}
	}
	if g.Sharded {
		return Verdict{Sharded: true, Problem: "the GlusterFS volume has features.shard on, so the size of a directory " +
			"cannot be limited; use a volume without sharding, or kadalu-format: false"}
	}
	return Verdict{}
}
