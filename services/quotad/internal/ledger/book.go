//go:build linux

package ledger

import (
	"os"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// book has the records of one file system. There may be very many, and they live as long as the process: its tables
// have no pointers, so that the garbage collector does not visit them.
type book struct {
	file *os.File
	// lines is the number of lines of the file.
	lines   int
	records map[uint32]record
	// paths has the paths of all records, and of removed ones until the file is rewritten.
	paths []byte
	// byPath has a project for each hash of a directory, others has further ones of the same hash.
	byPath map[uint64]uint32
	others map[uint64][]uint32
	// names are the volumes, ids their places, and volumes has the number of records of each volume.
	names   []string
	ids     map[string]uint32
	volumes map[string]int
}

// record is an Owner whose path and volume are elsewhere.
type record struct {
	start, volume      uint32
	length             uint16
	assigned, released bool
}

// maxPath is the longest path that a record can have. Paths of GlusterVolumes are shorter.
const maxPath = 1<<16 - 1

func newBook(records int) *book {
	return &book{
		records: make(map[uint32]record, records), byPath: make(map[uint64]uint32, records),
		others: map[uint64][]uint32{}, ids: map[string]uint32{}, volumes: map[string]int{},
	}
}

func hash(volume, path string) uint64 {
	h := xxhash.New()
	_, _ = h.WriteString(volume)
	_, _ = h.WriteString("/")
	_, _ = h.WriteString(path)
	return h.Sum64()
}

// path returns the path of a record.
func (b *book) path(r record) string { return string(b.paths[r.start : r.start+uint32(r.length)]) }

// owner returns the owner of a project.
func (b *book) owner(project uint32) (o decide.Owner, found bool) {
	r, found := b.records[project]
	if !found {
		return decide.Owner{}, false
	}
	return decide.Owner{Volume: b.names[r.volume], Path: b.path(r), Assigned: r.assigned, Released: r.released}, true
}

// set replaces the owner of a project. A nil owner removes it.
func (b *book) set(project uint32, o *decide.Owner) {
	old, found := b.records[project]
	if found && o != nil && b.names[old.volume] == o.Volume && b.path(old) == o.Path {
		old.assigned, old.released = o.Assigned, o.Released
		b.records[project] = old
		return
	}
	if found {
		b.remove(project, old)
	}
	if o == nil {
		return
	}
	id, known := b.ids[o.Volume]
	if !known {
		id = uint32(len(b.names)) //nolint:gosec // volumes of a node
		b.names, b.ids[o.Volume] = append(b.names, o.Volume), id
	}
	b.records[project] = record{
		start: uint32(len(b.paths)), volume: id, length: uint16(len(o.Path)), //nolint:gosec // see maxPath and maxBook
		assigned: o.Assigned, released: o.Released,
	}
	b.paths = append(b.paths, o.Path...)
	b.volumes[o.Volume]++
	key := hash(o.Volume, o.Path)
	if _, isTaken := b.byPath[key]; isTaken {
		b.others[key] = append(b.others[key], project)
	} else {
		b.byPath[key] = project
	}
}

func (b *book) remove(project uint32, r record) {
	delete(b.records, project)
	volume := b.names[r.volume]
	b.volumes[volume]--
	key := hash(volume, b.path(r))
	others := slices.DeleteFunc(b.others[key], func(p uint32) bool { return p == project })
	if b.byPath[key] == project {
		delete(b.byPath, key)
		if len(others) > 0 {
			b.byPath[key], others = others[0], others[1:]
		}
	}
	if b.others[key] = others; len(others) == 0 {
		delete(b.others, key)
	}
}

// of returns the projects of a directory.
func (b *book) of(volume, path string) (projects []uint32) {
	key := hash(volume, path)
	first, found := b.byPath[key]
	if !found {
		return nil
	}
	for _, project := range append([]uint32{first}, b.others[key]...) {
		// Directories can have the same hash.
		if o, _ := b.owner(project); o.Volume == volume && o.Path == path {
			projects = append(projects, project)
		}
	}
	return projects
}

// directories returns the paths of the records of a volume, sorted.
func (b *book) directories(volume string) []string {
	id, known := b.ids[volume]
	if !known {
		return nil
	}
	paths := make([]string, 0, b.volumes[volume])
	for _, r := range b.records {
		if r.volume == id {
			paths = append(paths, b.path(r))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
