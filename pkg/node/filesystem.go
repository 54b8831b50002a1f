//go:build linux

package node

import (
	"encoding/hex"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FileSystem describes the file system of a directory.
type FileSystem struct {
	// Type of the file system, for example xfs.
	Type string
	// UUID of the file system, or empty if it has none.
	UUID string
	// FSID is the id that statfs returns, or empty. Some file systems have another one after each mount.
	FSID string
	// Mount is the mount that the directory is on.
	Mount Mount
	// MountPoint is true if the directory is the root of a mounted file system. A bind mount of another directory of a
	// file system does not count, because each volume of a container is one.
	MountPoint bool
	// ReadOnly is true if writes fail.
	ReadOnly bool
	// CapacityBytes and AvailableBytes are the size and the space that is available to users.
	CapacityBytes, AvailableBytes int64
}

// ID returns the UUID, or the FSID if the file system has no UUID.
func (f FileSystem) ID() string {
	if f.UUID != "" {
		return f.UUID
	}
	return f.FSID
}

// Is reports whether id names the file system. It accepts both the UUID and the FSID, because a newer kernel may report
// the UUID of a file system that had only an FSID before.
func (f FileSystem) Is(id string) bool { return id != "" && (id == f.UUID || id == f.FSID) }

// FileSystem describes the file system of the directory.
func (d *Dir) FileSystem() (FileSystem, error) {
	mount, point, err := d.Mount()
	if err != nil {
		return FileSystem{}, err
	}
	f := FileSystem{
		Type: mount.Type, Mount: mount, MountPoint: point && mount.Root == "/", ReadOnly: mount.ReadOnly(),
	}
	err = d.Control(func(fd int) error {
		var s unix.Statfs_t
		if err := unix.Fstatfs(fd, &s); err != nil {
			return err
		}
		f.ReadOnly = f.ReadOnly || s.Flags&unix.ST_RDONLY != 0
		f.CapacityBytes = int64(s.Blocks) * s.Bsize
		f.AvailableBytes = int64(s.Bavail) * s.Bsize
		if s.Fsid.Val[0] != 0 || s.Fsid.Val[1] != 0 {
			f.FSID = fmt.Sprintf("fsid-%08x%08x", uint32(s.Fsid.Val[0]), uint32(s.Fsid.Val[1]))
		}
		f.UUID = uuid(fd, mount.Type)
		return nil
	})
	return f, d.wrap("statfs", ".", err)
}

// Requests of ioctl that return a UUID. All kernels with FS_IOC_GETFSUUID (Linux 6.9) need only the first one.
const (
	fsIocGetFSUUID   = 0x80111500
	ext4IocGetFSUUID = 0x8008662c
	xfsIocFSGeometry = 0x80705864
	btrfsIocFSInfo   = 0x8400941f
)

// uuid returns the UUID of the file system of an open file, or an empty string.
func uuid(fd int, fileSystem string) string {
	general := [17]byte{}
	if ioctl(fd, fsIocGetFSUUID, unsafe.Pointer(&general)) == nil && general[0] == 16 {
		return format([16]byte(general[1:17]))
	}
	switch fileSystem {
	case "ext4":
		v := struct {
			length, flags uint32
			uuid          [16]byte
		}{length: 16}
		if ioctl(fd, ext4IocGetFSUUID, unsafe.Pointer(&v)) == nil {
			return format(v.uuid)
		}
	case "xfs":
		// The UUID follows 64 bytes of sizes.
		v := [112]byte{}
		if ioctl(fd, xfsIocFSGeometry, unsafe.Pointer(&v)) == nil {
			return format([16]byte(v[64:80]))
		}
	case "btrfs":
		v := [1024]byte{}
		if ioctl(fd, btrfsIocFSInfo, unsafe.Pointer(&v)) == nil {
			return format([16]byte(v[16:32]))
		}
	}
	return ""
}

// format returns the usual form of a UUID, or an empty string if it is zero.
func format(u [16]byte) string {
	if u == ([16]byte{}) {
		return ""
	}
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
		if errno == 0 {
			return nil
		}
		if !errors.Is(errno, unix.EINTR) {
			return errno
		}
	}
}
