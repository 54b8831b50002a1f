// Package decide decides which limits a brick needs: it computes a Plan from the observed State. It has no client, no
// clock and no I/O.
package decide

import "fmt"

// Kind is the type of a GlusterFS volume, with glusterd's numbers.
type Kind int

// Types of volumes.
const (
	Distribute      Kind = 0
	Stripe          Kind = 1
	Replicate       Kind = 2
	StripeReplicate Kind = 3
	Disperse        Kind = 4
)

// Volume is a GlusterFS volume with bricks on this node.
type Volume struct {
	// Name of the volume.
	Name string
	// ID is the UUID of the volume.
	ID string
	// Kind is its type.
	Kind Kind
	// Bricks is the number of bricks of the volume, and Subvolume that of one subvolume.
	Bricks, Subvolume int
	// Redundancy is the number of bricks of a disperse subvolume that may fail.
	Redundancy int
	// Sharded is true with features.shard.
	Sharded bool
	// Managed is true with the option user.weir.dev/managed.
	Managed bool
	// Local are the bricks on this node.
	Local []Brick
}

// Brick is a brick on this node.
type Brick struct {
	// Host is the name of the node in the volume.
	Host string
	// Path is the directory.
	Path string
	// Arbiter is true if the brick has only metadata.
	Arbiter bool
}

// Refusal returns why limits of directories are not exact on a volume of this type. It is empty if they are.
func (v Volume) Refusal() string {
	switch {
	case v.Sharded:
		return fmt.Sprintf("volume %s has features.shard: most blocks of a file are outside of its directory; "+
			"use a volume without sharding", v.Name)
	case v.Kind == Stripe || v.Kind == StripeReplicate:
		return fmt.Sprintf("volume %s is striped; use a replicate or disperse volume", v.Name)
	case v.Kind != Distribute && v.Kind != Replicate && v.Kind != Disperse:
		return fmt.Sprintf("volume %s has the unknown type %d", v.Name, v.Kind)
	case v.Subvolume < 1 || v.Bricks < 1:
		return fmt.Sprintf("volume %s has %d bricks in subvolumes of %d", v.Name, v.Bricks, v.Subvolume)
	case v.Bricks != v.Subvolume:
		return fmt.Sprintf("volume %s distributes files over %d subvolumes: one of them would be full before the directory "+
			"is; use a volume with one subvolume", v.Name, v.Bricks/v.Subvolume)
	case v.Kind == Disperse && (v.Redundancy < 1 || v.Redundancy >= v.Subvolume):
		return fmt.Sprintf("volume %s has redundancy %d of %d bricks", v.Name, v.Redundancy, v.Subvolume)
	}
	return ""
}

// Limit returns the limit of a directory of a size on each brick with data: the size, or on a disperse volume the size
// divided by the number of bricks with data.
func (v Volume) Limit(bytes int64) int64 {
	if v.Kind != Disperse {
		return bytes
	}
	data := int64(v.Subvolume - v.Redundancy)
	return bytes/data + min(bytes%data, 1)
}
