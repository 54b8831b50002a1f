package decide

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Mount is a line of a mount table.
type Mount struct {
	ID, ParentID                      uint64
	Device, Root, Point, Type, Source string
	Options                           []string
	Shared, Slave                     bool
}

// FUSEType is the type of the mounts of GlusterFS clients.
const FUSEType = "fuse.glusterfs"

// Ended is a GlusterFS client that has ended. Its mounts fail with ENOTCONN.
type Ended struct {
	// Client is the key of the mounted volume.
	Client string
	// Source of its mounts. The kernel can give the device of a client to another one when no mount uses it any more.
	Source string
	// Point is where the client that replaces it is mounted, or empty while there is none.
	Point string
}

// Replacement is a mount of a client that has ended, and what replaces it.
type Replacement struct {
	Mount Mount
	// From is the directory or file that replaces it.
	From string
	// Options of the mount.
	Options []string
	// Nested are the mounts below it, parents first. They would disappear with it.
	Nested []NestedMount
	// Refused is why the mount cannot be replaced, or empty.
	Refused string
}

// NestedMount is a mount below one that is replaced.
type NestedMount struct {
	Mount Mount
	// From is a directory or file of the node that is mounted again.
	From    string
	Options []string
	// Inside is the mount point as a path of the new client.
	Inside string
}

// deletedSuffix is what the kernel appends to the root of a mount whose directory was deleted, or is not cached any
// more: after the end of a client, each access removes directories from the cache.
const deletedSuffix = "//deleted"

// Replacements returns the mounts of one client's ended processes in the table of a mount namespace. ended has all
// processes that have ended, by device. node is the mount table of the node.
func Replacements(client string, table []Mount, ended map[string]Ended, node []Mount) []Replacement {
	isEnded := func(m Mount) (Ended, bool) {
		e, found := ended[m.Device]
		return e, found && m.Type == FUSEType && m.Source == e.Source
	}
	parents := make(map[uint64]Mount, len(table))
	for _, m := range table {
		parents[m.ID] = m
	}
	// A mount inside another one that has ended is replaced together with it. The steps are limited: a table that is
	// read while it changes can have a cycle.
	below := func(m Mount, above func(Mount) bool) bool {
		for range len(table) {
			parent, found := parents[m.ParentID]
			if !found || parent.ID == m.ID {
				return false
			}
			if above(parent) {
				return true
			}
			m = parent
		}
		return false
	}
	var replacements []Replacement
	for _, m := range table {
		e, found := isEnded(m)
		if !found || e.Client != client || covered(m, table) {
			continue
		}
		if below(m, func(p Mount) bool { _, found := isEnded(p); return found }) {
			continue
		}
		r := Replacement{Mount: m}
		r.From, r.Options, r.Refused = replacementOf(m, e)
		for _, n := range table {
			if r.Refused != "" {
				break
			}
			if !below(n, func(p Mount) bool { return p.ID == m.ID }) {
				continue
			}
			nested := NestedMount{Mount: n, Inside: path.Join(r.From, strings.TrimPrefix(n.Point, m.Point))}
			if e, found := isEnded(n); found {
				nested.From, nested.Options, r.Refused = replacementOf(n, e)
			} else {
				nested.From, nested.Options, r.Refused = sourceOf(n, node)
			}
			r.Nested = append(r.Nested, nested)
		}
		replacements = append(replacements, r)
	}
	return replacements
}

// covered reports whether another mount is on top of a mount.
func covered(m Mount, table []Mount) bool {
	return slices.ContainsFunc(table, func(top Mount) bool { return top.ParentID == m.ID && top.Point == m.Point })
}

// replacementOf returns what replaces a mount of a client that has ended.
func replacementOf(m Mount, e Ended) (from string, options []string, refused string) {
	if e.Point == "" {
		return "", nil, "the volume " + e.Client + " cannot be mounted"
	}
	options, refused = optionsOf(m)
	return path.Join(e.Point, strings.TrimSuffix(m.Root, deletedSuffix)), options, refused
}

// sourceOf returns a path of the node that shows the same directory or file as a mount.
func sourceOf(m Mount, node []Mount) (from string, options []string, refused string) {
	if options, refused = optionsOf(m); refused != "" {
		return "", nil, refused
	}
	for _, candidate := range node {
		inside, found := beneath(m.Root, candidate.Root)
		if candidate.Device != m.Device || !found {
			continue
		}
		from := path.Join(candidate.Point, inside)
		if visible(candidate, from, node) {
			return from, options, ""
		}
	}
	return "", nil, "the node has no path to the " + m.Type + " file system that is mounted below it at " + m.Point
}

// visible reports whether a path shows a mount, and not another one that covers it.
func visible(m Mount, name string, table []Mount) bool {
	top := m
	for _, other := range table {
		if _, found := beneath(name, other.Point); found && len(other.Point) >= len(top.Point) {
			top = other
		}
	}
	return top.ID == m.ID
}

// beneath returns the path of name relative to a directory, and whether it is in it.
func beneath(name, directory string) (inside string, found bool) {
	if directory == "/" {
		return name, strings.HasPrefix(name, "/")
	}
	inside, found = strings.CutPrefix(name, directory)
	return inside, found && (inside == "" || inside[0] == '/')
}

// optionsOf returns the options that a copy of a mount needs.
func optionsOf(m Mount) (options []string, refused string) {
	if slices.Contains(m.Options, "idmapped") {
		return nil, "its pod has a user namespace"
	}
	options = slices.Clone(m.Options)
	if !slices.Contains(options, "relatime") && !slices.Contains(options, "noatime") {
		options = append(options, "strictatime")
	}
	return options, ""
}

// podUID is the UID of a pod in the name of its cgroup. The systemd driver replaces - by _.
var podUID = regexp.MustCompile(`pod([0-9a-f]{8}([-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})`)

// PodUID returns the UID of the pod that a process belongs to, from its file /proc/<pid>/cgroup, or an empty string.
func PodUID(cgroup string) string {
	found := podUID.FindStringSubmatch(cgroup)
	if found == nil {
		return ""
	}
	return strings.ReplaceAll(found[1], "_", "-")
}
