package decide

import "slices"

// Below returns the mounts of a table that are below mounts of clients, parents first. clients are their devices.
func Below(table []Mount, clients []string) (nested []Mount) {
	found := map[uint64]bool{}
	// A table has a mount after its parent, unless it was moved. Each round finds at least one more.
	for again := true; again; {
		again = false
		for _, m := range table {
			parent := slices.IndexFunc(table, func(p Mount) bool { return p.ID == m.ParentID && p.ID != m.ID })
			if found[m.ID] || parent < 0 {
				continue
			}
			p := table[parent]
			if found[p.ID] || p.Type == FUSEType && slices.Contains(clients, p.Device) {
				found[m.ID], again = true, true
				nested = append(nested, m)
			}
		}
	}
	return nested
}

// Recall returns a table with the known mounts that it lacks and whose parents it has. After the end of a client, the
// kernel removes the mounts below those of the client when a process accesses their paths. It gives the id of a removed
// mount to the next one, so a known mount whose id is in use gets another one here.
func Recall(table, known []Mount) []Mount {
	table = slices.Clone(table)
	last := uint64(0)
	for _, m := range slices.Concat(table, known) {
		last = max(last, m.ID)
	}
	ids := map[uint64]uint64{}
	for _, m := range known {
		if slices.ContainsFunc(table, func(t Mount) bool { return sameMount(t, m) }) {
			continue
		}
		if id, found := ids[m.ParentID]; found {
			m.ParentID = id
		}
		if !slices.ContainsFunc(table, func(p Mount) bool { return canBeParent(p, m, known) }) {
			continue
		}
		if slices.ContainsFunc(table, func(t Mount) bool { return t.ID == m.ID }) {
			last++
			ids[m.ID], m.ID = last, last
		}
		table = append(table, m)
	}
	return table
}

// sameMount reports whether two lines are of one mount. The root of a mount changes when its directory is deleted.
func sameMount(a, b Mount) bool { return a.ID == b.ID && a.Device == b.Device && a.Point == b.Point }

// canBeParent reports whether a mount is the parent of a known one, and not a later mount with the id of that parent.
func canBeParent(p, m Mount, known []Mount) bool {
	_, inside := beneath(m.Point, p.Point)
	return inside && p.ID == m.ParentID && (p.Type == FUSEType || slices.ContainsFunc(known, func(k Mount) bool {
		return k.Device == p.Device && k.Point == p.Point
	}))
}
