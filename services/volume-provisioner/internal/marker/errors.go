//go:build linux

package marker

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// IsUnusable reports whether an error says that an entry is not a regular file of its own file system.
func IsUnusable(err error) bool {
	return errors.Is(err, node.ErrNotRegular) || errors.Is(err, node.ErrTooLarge) || errors.Is(err, unix.ELOOP) ||
		errors.Is(err, unix.EXDEV)
}
