//go:build linux

package inotify

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Event is an event of a watched directory.
type Event struct {
	// Watch is the number of the watch; Mask are its events, such as unix.IN_CREATE.
	Watch int
	Mask  uint32
	// Name is the name of a file in the directory, or empty.
	Name string
}

// errTruncated means that the kernel has returned a part of an event.
var errTruncated = errors.New("the kernel returned a truncated file event")

// parse decodes events: watch, mask, cookie and length as 32-bit numbers, then the name, filled up with zeros.
func parse(buffer []byte) (events []Event, err error) {
	order := binary.NativeEndian
	for len(buffer) >= unix.SizeofInotifyEvent {
		size := unix.SizeofInotifyEvent + int(order.Uint32(buffer[12:]))
		if size > len(buffer) {
			return events, errTruncated
		}
		name, _, _ := bytes.Cut(buffer[unix.SizeofInotifyEvent:size], []byte{0})
		events = append(events, Event{
			Watch: int(int32(order.Uint32(buffer))), //nolint:gosec // the kernel's type is int
			Mask:  order.Uint32(buffer[4:]), Name: string(name),
		})
		buffer = buffer[size:]
	}
	return events, nil
}
