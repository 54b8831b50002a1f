//go:build linux

package gluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// initPID is the first process of the node, or of the container if it has its own process namespace.
const initPID = 1

// warnIfIsolated logs that the containers of the node cannot be reached.
func warnIfIsolated(log *slog.Logger) {
	if os.Getpid() == initPID {
		log.Warn("the processes of the node are not visible: mounts in running containers cannot be replaced; " +
			"set hostPID in the pod of the node process")
	}
}

// namespaces returns the mount namespaces of the node, and that of its first process. The node itself comes first: a
// container that starts copies its mounts.
func namespaces() (all []node.Namespace, host node.Namespace, err error) {
	own, err := node.NamespaceOf(os.Getpid())
	if err != nil {
		return nil, host, err
	}
	if host, err = node.NamespaceOf(initPID); err != nil {
		host = own
	}
	found, err := node.MountNamespaces()
	if err != nil {
		return nil, host, err
	}
	all = []node.Namespace{host, own}
	for _, n := range found {
		if n.ID != host.ID && n.ID != own.ID {
			all = append(all, n)
		}
	}
	if host.ID == own.ID {
		all = all[1:]
	}
	return all, host, nil
}

// remember records the mounts below those of a volume in all mount namespaces. The kernel removes them when a process
// accesses their paths after the end of the client; if ended is true, those that were recorded before are kept.
func (r *Recovery) remember(h *Hosted, state *clientState, ended bool) {
	state.remembered = time.Now()
	all, _, err := namespaces()
	if err != nil {
		r.Log.Error("the mount namespaces of the node cannot be read", "error", err)
		return
	}
	known := state.below
	state.below = map[uint64][]decide.Mount{}
	for _, n := range all {
		mounts, err := mountsOf(n)
		if err != nil {
			continue // Its processes have ended.
		}
		table := tableOf(mounts)
		if ended {
			table = decide.Recall(table, known[n.ID])
		}
		if below := decide.Below(table, h.devices()); len(below) > 0 {
			state.below[n.ID] = below
		}
	}
}

// mountsOf reads the mount table of a namespace without entering it.
func mountsOf(n node.Namespace) ([]node.Mount, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", n.PID))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return node.ParseMounts(file)
}

// replaceAll replaces the mounts of a volume's ended clients in all mount namespaces of the node. problems has an entry
// for each mount that could not be replaced.
func (r *Recovery) replaceAll(h *Hosted, state *clientState) (replaced int, problems []string, err error) {
	namespaces, host, err := namespaces()
	if err != nil {
		return 0, nil, err
	}
	s := &scan{recovery: r, hosted: h, state: state, ended: r.Pool.ended(), host: host}
	for _, n := range namespaces {
		done, failed, err := s.replaceIn(n)
		if err != nil && !gone(err) {
			failed = append(failed, fmt.Sprintf("namespace of %s: %v", ownerOf(n), err))
		}
		replaced, problems = replaced+done, append(problems, failed...)
	}
	return replaced, problems, nil
}

// ownerOf names the pod of a namespace, or its process.
func ownerOf(n node.Namespace) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", n.PID))
	if uid := decide.PodUID(string(data)); err == nil && uid != "" {
		return "pod " + uid
	}
	return fmt.Sprintf("process %d", n.PID)
}

// gone reports whether an error means that the processes of a namespace have ended.
func gone(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) }

// scan replaces mounts in one namespace after the other.
type scan struct {
	recovery *Recovery
	hosted   *Hosted
	state    *clientState
	ended    map[string]decide.Ended
	host     node.Namespace
	// table is the mount table of the node. It is read when it is needed.
	table []decide.Mount
}

func (s *scan) replaceIn(n node.Namespace) (replaced int, problems []string, err error) {
	var plan []decide.Replacement
	err = n.Do(func(in *node.Inside) error {
		mounts, err := in.Mounts()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(mounts, func(m node.Mount) bool { _, found := s.ended[m.Device]; return found }) {
			return nil
		}
		table := decide.Recall(tableOf(mounts), s.state.below[n.ID])
		if s.table == nil {
			if s.table, err = s.nodeTable(); err != nil {
				return err
			}
		}
		for _, replacement := range decide.Replacements(s.hosted.Key, table, s.ended, s.table) {
			i := slices.IndexFunc(mounts, func(m node.Mount) bool { return m.ID == replacement.Mount.ID })
			// A client that only lost its mount point still serves its mounts.
			if ended, err := in.Disconnected(mounts[i]); err == nil && ended {
				plan = append(plan, replacement)
			}
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	for _, replacement := range plan {
		err := errors.New(replacement.Refused)
		if replacement.Refused == "" {
			err = s.replace(n, replacement)
		}
		switch {
		case err == nil:
			replaced++
		case errors.Is(err, node.ErrOtherMount), errors.Is(err, unix.ESRCH):
			// It is gone. The next scan finds what is there now.
		default:
			problems = append(problems, fmt.Sprintf("%s of %s: %v", replacement.Mount.Point, ownerOf(n), err))
		}
	}
	return replaced, problems, nil
}

func (s *scan) nodeTable() (table []decide.Mount, err error) {
	err = s.host.Do(func(in *node.Inside) error {
		mounts, err := in.Mounts()
		table = tableOf(mounts)
		return err
	})
	return table, err
}

// replace replaces one mount. Everything that can fail is prepared before the old mount is touched.
func (s *scan) replace(n node.Namespace, r decide.Replacement) (err error) {
	tree, err := clone(r.From, r.Options, r.Mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	var nested []node.Nested
	for _, below := range r.Nested {
		// Its mount point must exist on the volume.
		point, err := node.CloneMount(below.Inside)
		if err != nil {
			return fmt.Errorf("the mount below it at %s: %w", below.Mount.Point, err)
		}
		_ = point.Close()
		var tree *node.Tree
		prepare := func() (err error) { tree, err = clone(below.From, below.Options, below.Mount); return err }
		if _, volume := s.ended[below.Mount.Device]; volume {
			err = prepare()
		} else {
			err = s.host.Do(func(*node.Inside) error { return prepare() })
		}
		if err != nil {
			return fmt.Errorf("the mount below it at %s: %w", below.Mount.Point, err)
		}
		defer func() { _ = tree.Close() }()
		nested = append(nested, node.Nested{Point: below.Mount.Point, Tree: tree})
	}
	old := nodeMount(r.Mount)
	return n.Do(func(in *node.Inside) error {
		err := in.Replace(old, tree, nested...)
		if len(nested) > 0 {
			err = errors.Join(err, s.remember(n, in))
		}
		return err
	})
}

// remember records the mounts below those of the volume in a namespace. The new client can end before the scan of all
// namespaces does.
func (s *scan) remember(n node.Namespace, in *node.Inside) error {
	mounts, err := in.Mounts()
	if err != nil {
		return err
	}
	table := decide.Recall(tableOf(mounts), s.state.below[n.ID])
	s.state.below[n.ID] = decide.Below(table, s.hosted.devices())
	return nil
}

// clone returns a copy of the mount of a path with the options and the propagation of another one.
func clone(from string, options []string, like decide.Mount) (*node.Tree, error) {
	tree, err := node.CloneMount(from)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tree.SetOptions(options), tree.SetPropagation(like.Shared, like.Slave)); err != nil {
		_ = tree.Close()
		return nil, err
	}
	return tree, nil
}

func tableOf(mounts []node.Mount) []decide.Mount {
	table := make([]decide.Mount, len(mounts))
	for i, m := range mounts {
		table[i] = decide.Mount{
			ID: m.ID, ParentID: m.ParentID, Device: m.Device, Root: m.Root, Point: m.Point, Type: m.Type, Source: m.Source,
			Options: m.Options, Shared: m.Shared, Slave: m.Slave,
		}
	}
	return table
}

func nodeMount(m decide.Mount) node.Mount {
	return node.Mount{ID: m.ID, ParentID: m.ParentID, Device: m.Device, Root: m.Root, Point: m.Point, Type: m.Type}
}
