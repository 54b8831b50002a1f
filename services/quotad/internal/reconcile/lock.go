//go:build linux

package reconcile

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// ErrLocked means that another process limits the directories of this node.
var ErrLocked = errors.New("another quotad uses the files of glusterd, with another state directory; " +
	"only one can run on a node")

// lock locks the directory of glusterd until Close. The lock of the state directory does not exclude a quotad that has
// another one, for example in a pod.
func (r *Reconciler) lock() error {
	if r.unlock != nil {
		return nil
	}
	dir, err := node.OpenDir(r.Dir, node.AllowMounts)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	unlock, err := dir.Lock()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", r.Dir, ErrLocked)
	}
	if err == nil {
		r.unlock = unlock
	}
	return err
}

// Close closes the records and unlocks the directory of glusterd. No key is reconciled after it.
func (r *Reconciler) Close() error {
	err := r.Records.Close()
	if r.unlock != nil {
		err = errors.Join(err, r.unlock())
	}
	return err
}
