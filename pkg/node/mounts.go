//go:build linux

package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is one line of mountinfo, see proc_pid_mountinfo(5).
type Mount struct {
	ID, ParentID uint64
	// Device is the number of the device, <major>:<minor>.
	Device string
	// Root is the directory of the file system that is mounted, / unless it is a bind mount or a subvolume.
	Root string
	// Point is the mount point.
	Point string
	// Type of the file system, for example xfs.
	Type string
	// Source is the block device, or another name.
	Source string
	// Options are those of the mount, SuperOptions those of the file system.
	Options, SuperOptions []string
	// Shared and Slave are the propagation of the mount. A private mount has neither.
	Shared, Slave bool
}

// Has reports whether the mount or its file system has an option.
func (m Mount) Has(option string) bool {
	return slices.Contains(m.Options, option) || slices.Contains(m.SuperOptions, option)
}

// ReadOnly reports whether writes fail: the mount is read-only, or its file system is, possibly because of an error.
func (m Mount) ReadOnly() bool { return m.Has("ro") || m.Has("emergency_ro") }

// Shutdown reports whether the file system has stopped because of an error.
func (m Mount) Shutdown() bool { return m.Has("shutdown") }

const mountinfo = "/proc/self/mountinfo"

// Mounts returns the mount table of the process.
func Mounts() ([]Mount, error) {
	file, err := os.Open(mountinfo)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return ParseMounts(file)
}

// ParseMounts parses mountinfo.
func ParseMounts(r io.Reader) ([]Mount, error) {
	var mounts []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("parse mountinfo line %q: %w", lines.Text(), err)
		}
		mounts = append(mounts, m)
	}
	return mounts, lines.Err()
}

// parseMount parses a line: id parent device root point options [optional fields...] - type source super-options. The
// source may be empty.
func parseMount(line string) (Mount, error) {
	left, right, found := strings.Cut(line, " - ")
	fields, last := strings.Split(left, " "), strings.Split(right, " ")
	if !found || len(fields) < 6 || len(last) < 3 {
		return Mount{}, errors.New("it has too few fields")
	}
	id, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return Mount{}, err
	}
	parent, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Mount{}, err
	}
	return Mount{
		ID: id, ParentID: parent, Device: fields[2], Root: unescape(fields[3]), Point: unescape(fields[4]),
		Options: strings.Split(fields[5], ","),
		Type:    unescape(last[0]), Source: unescape(last[1]), SuperOptions: strings.Split(last[2], ","),
		Shared: hasField(fields[6:], "shared:"), Slave: hasField(fields[6:], "master:"),
	}, nil
}

func hasField(fields []string, prefix string) bool {
	return slices.ContainsFunc(fields, func(field string) bool { return strings.HasPrefix(field, prefix) })
}

// unescape decodes the octal escapes of space, tab, newline, backslash and #.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Mount returns the mount that the open directory is on, and whether the directory is its mount point.
func (d *Dir) Mount() (m Mount, point bool, err error) {
	var stat unix.Statx_t
	err = d.Control(func(fd int) error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stat)
	})
	if err != nil {
		return m, false, d.wrap("statx", ".", err)
	}
	mounts, err := Mounts()
	if err != nil {
		return m, false, err
	}
	i := slices.IndexFunc(mounts, func(m Mount) bool { return m.ID == stat.Mnt_id })
	if stat.Mask&unix.STATX_MNT_ID == 0 || i < 0 {
		// The directory was unmounted after it was opened.
		return m, false, d.wrap("find the mount of", ".", unix.ENOENT)
	}
	return mounts[i], stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// WatchMounts calls changed after each change of the mount table, until ctx ends.
func WatchMounts(ctx context.Context, changed func()) error {
	// Each change is reported to one poll of the file. An os.File would be polled by the Go runtime too.
	fd, err := unix.Open(mountinfo, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: mountinfo, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	defer func() { _ = unix.Close(wake) }()
	defer context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })()
	for ctx.Err() == nil {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}, {Fd: int32(wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll %s: %w", mountinfo, err)
		}
		if polled[0].Revents != 0 {
			changed()
		}
	}
	return nil
}
