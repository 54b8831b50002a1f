//go:build linux

package inotify

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func encode(watch int32, mask uint32, name string) []byte {
	size := 0
	if name != "" {
		size = (len(name)/16 + 1) * 16
	}
	order := binary.NativeEndian
	buffer := order.AppendUint32(nil, uint32(watch)) //nolint:gosec // as the kernel does
	buffer = order.AppendUint32(buffer, mask)
	buffer = order.AppendUint32(buffer, 7)
	buffer = order.AppendUint32(buffer, uint32(size)) //nolint:gosec // small
	return append(buffer, append([]byte(name), make([]byte, size-len(name))...)...)
}

func TestEventsAreParsed(t *testing.T) {
	t.Parallel()
	buffer := append(encode(-1, unix.IN_Q_OVERFLOW, ""), encode(3, unix.IN_CREATE, "sixteen-letters-")...)
	events, err := parse(buffer)
	require.NoError(t, err)
	require.Equal(t, []Event{{-1, unix.IN_Q_OVERFLOW, ""}, {3, unix.IN_CREATE, "sixteen-letters-"}}, events)
	events, err = parse(buffer[:len(buffer)-1])
	require.ErrorIs(t, err, errTruncated)
	require.Len(t, events, 1)
}

func FuzzEvents(f *testing.F) {
	f.Add(encode(1, unix.IN_DELETE, "name"))
	f.Fuzz(func(_ *testing.T, buffer []byte) { _, _ = parse(buffer) })
}
