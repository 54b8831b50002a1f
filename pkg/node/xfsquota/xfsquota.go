//go:build linux

// Package xfsquota reads and sets the project quota of XFS with system calls. XFS must be mounted with prjquota. Limits
// need CAP_SYS_ADMIN.
//
// To limit a directory, set the limit of a project first ([Quota.SetLimit]), and then assign the directory to the
// project ([Assign]): no write escapes the limit in between.
package xfsquota

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// ErrUnsupported means that the file system does not account project quota: it is not XFS, it is not mounted with
// prjquota, or the kernel has no quota.
var ErrUnsupported = errors.New("project quota is not enabled; mount an XFS file system with the option prjquota")

// ErrNoMoreProjects is the end of Next.
var ErrNoMoreProjects = errors.New("no more projects")

// Usage is the limit and the use of a project.
type Usage struct {
	// Project is the id.
	Project uint32
	// LimitBytes is the hard limit; 0 for none.
	LimitBytes uint64
	// UsedBytes is the allocated space.
	UsedBytes uint64
	// Files is the number of inodes.
	Files uint64
}

// Quota is the project quota of the file system of one open directory.
type Quota struct{ dir *node.Dir }

// New returns the quota of the file system of dir, which must stay open.
func New(dir *node.Dir) *Quota { return &Quota{dir} }

// Commands and flags of quotactl, see linux/dqblk_xfs.h. XFS counts in units of 512 bytes.
const (
	getQuota     = 'X'<<8 | 3
	setLimit     = 'X'<<8 | 4
	getState     = 'X'<<8 | 8
	getNextQuota = 'X'<<8 | 9

	projectQuota  = 2
	unit          = 512
	structVersion = 1
	flagProject   = 2
	maskSoftLimit = 1 << 2
	maskHardLimit = 1 << 3

	projectAccounting  = 1 << 4
	projectEnforcement = 1 << 5
)

// diskQuota is struct fs_disk_quota.
type diskQuota struct {
	version, flags                                   int8
	fieldMask                                        uint16
	id                                               uint32
	blockHardLimit, blockSoftLimit                   uint64
	inodeHardLimit, inodeSoftLimit                   uint64
	blocks, inodes                                   uint64
	inodeTimer, blockTimer                           int32
	inodeWarnings, blockWarnings                     uint16
	inodeTimerHigh, blockTimerHigh, realtimeHigh, _  int8
	realtimeHardLimit, realtimeSoftLimit, realtimeBs uint64
	realtimeTimer                                    int32
	realtimeWarnings                                 uint16
	_                                                int16
	_                                                [8]byte
}

// quotaState is struct fs_quota_statv.
type quotaState struct {
	version int8
	_       uint8
	flags   uint16
	_       [152]byte
}

// State reports whether the file system accounts and enforces project quota.
func (q *Quota) State() (accounted, enforced bool, err error) {
	state := quotaState{version: structVersion}
	err = q.call(getState, 0, unsafe.Pointer(&state))
	if errors.Is(err, ErrUnsupported) {
		return false, false, nil
	}
	return state.flags&projectAccounting != 0, state.flags&projectEnforcement != 0, q.wrap("read the state of quota", err)
}

// SetLimit sets the hard limit of a project in bytes, rounded up to 512. 0 removes the limit.
func (q *Quota) SetLimit(project uint32, bytes uint64) error {
	want := diskQuota{
		version: structVersion, flags: flagProject, fieldMask: maskSoftLimit | maskHardLimit, id: project,
		blockHardLimit: bytes/unit + min(bytes%unit, 1),
	}
	return q.wrap(fmt.Sprintf("set the limit of project %d", project), q.call(setLimit, project, unsafe.Pointer(&want)))
}

// Get returns the usage of a project. A project that was never used has none.
func (q *Quota) Get(project uint32) (Usage, error) {
	usage, err := q.read(getQuota, project)
	if errors.Is(err, unix.ENOENT) {
		return Usage{Project: project}, nil
	}
	return usage, q.wrap(fmt.Sprintf("read the quota of project %d", project), err)
}

// Next returns the usage of the first project whose id is not less than project. After the last one the error is
// ErrNoMoreProjects.
func (q *Quota) Next(project uint32) (Usage, error) {
	usage, err := q.read(getNextQuota, project)
	if errors.Is(err, unix.ENOENT) {
		return Usage{}, ErrNoMoreProjects
	}
	return usage, q.wrap(fmt.Sprintf("read the quota after project %d", project), err)
}

func (q *Quota) read(command uint32, project uint32) (Usage, error) {
	var got diskQuota
	if err := q.call(command, project, unsafe.Pointer(&got)); err != nil {
		return Usage{}, err
	}
	return Usage{
		Project: got.id, LimitBytes: got.blockHardLimit * unit, UsedBytes: got.blocks * unit, Files: got.inodes,
	}, nil
}

// call is quotactl_fd(2), or quotactl(2) before Linux 5.14.
func (q *Quota) call(command, project uint32, argument unsafe.Pointer) error {
	encoded := uintptr(command<<8 | projectQuota)
	var errno unix.Errno
	err := q.dir.Control(func(fd int) error {
		_, _, errno = unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), encoded, uintptr(project), uintptr(argument), 0, 0)
		return nil
	})
	if err != nil {
		return err
	}
	if errno == unix.ENOSYS {
		errno, err = q.callByDevice(encoded, project, argument)
		if err != nil {
			return err
		}
	}
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS, unix.ESRCH, unix.ENOTTY, unix.EOPNOTSUPP, unix.ENODEV:
		return fmt.Errorf("%w: %w", ErrUnsupported, errno)
	}
	return errno
}

// callByDevice is quotactl(2), which needs the device node of the file system.
func (q *Quota) callByDevice(command uintptr, project uint32, argument unsafe.Pointer) (unix.Errno, error) {
	mount, _, err := q.dir.Mount()
	if err != nil {
		return 0, err
	}
	device, err := unix.BytePtrFromString(mount.Source)
	if err != nil {
		return 0, err
	}
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL, command, uintptr(unsafe.Pointer(device)), uintptr(project),
		uintptr(argument), 0, 0)
	if errno == unix.ENOTBLK || errno == unix.ENOENT && command>>8 != getQuota && command>>8 != getNextQuota {
		errno = unix.ENOSYS
	}
	return errno, nil
}

func (q *Quota) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w; it needs CAP_SYS_ADMIN", err)
	}
	return fmt.Errorf("%s on %s: %w", what, q.dir.Name(), err)
}
