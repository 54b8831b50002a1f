//go:build linux

package spool

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// event decodes the first event of a buffer: watch, mask, cookie and length as 32-bit numbers, then the name, filled up
// with zeros.
func event(buffer []byte) inotifyEvent {
	order := binary.NativeEndian
	length := int(order.Uint32(buffer[12:]))
	e := inotifyEvent{
		watch: int(int32(order.Uint32(buffer))), //nolint:gosec // the kernel's type is int
		mask:  order.Uint32(buffer[4:]), size: unix.SizeofInotifyEvent + length,
	}
	if e.size <= len(buffer) {
		name, _, _ := bytes.Cut(buffer[unix.SizeofInotifyEvent:e.size], []byte{0})
		e.name = string(name)
	}
	return e
}
