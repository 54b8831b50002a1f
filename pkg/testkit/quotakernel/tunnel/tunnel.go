// Package tunnel carries TCP connections between user-mode Linux and its machine. They share a terminal, as frames of
// an id, a length and data. A frame with a new id opens a connection, one without data closes it.
//
// A terminal of user-mode Linux stops for ever when its input buffer of 4 KiB is full, and reads it byte by byte.
// Towards Forward, data is therefore in files of a shared directory if it is not short, and the frame has the name of
// the file. Forward confirms each frame with the id 0 and its size, and Serve has at most a window of bytes on the way.
package tunnel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

const (
	header = 8
	window = 3072
	// short is the size of data up to which it is in the frame, and inFile the flag in the length of other data.
	short   = 256
	inFile  = 1 << 31
	maxData = 64 << 10
)

// Serve carries the connections of Forward to what dial opens, until the stream ends.
func Serve(stream io.ReadWriter, directory string, dial func() (net.Conn, error)) {
	t := newTunnel(stream, directory, dial)
	go func() { _ = t.receive() }()
}

// Forward carries the connections that a listener accepts to the other side, until the stream ends.
func Forward(stream io.ReadWriter, directory string, l net.Listener) {
	t := newTunnel(stream, directory, nil)
	go func() {
		_ = t.receive()
		_ = l.Close()
	}()
	go func() { _ = t.accept(l) }()
}

type tunnel struct {
	stream    io.ReadWriter
	directory string
	// dial opens the other end of a connection; nil on the side of Forward.
	dial func() (net.Conn, error)

	writing sync.Mutex

	mutex sync.Mutex
	// free is the part of the window that is not used, and files the number of files, on the side of Serve.
	free        int
	files       uint64
	confirmed   *sync.Cond
	connections map[uint32]*queue
	// last is the id of the newest connection, on the side of Forward.
	last uint32
	// opened has the id of every connection, on the side of Serve. The first frames of two connections can change their
	// order. Frames of connections that are closed are ignored.
	opened map[uint32]bool
}

func newTunnel(stream io.ReadWriter, directory string, dial func() (net.Conn, error)) *tunnel {
	t := &tunnel{
		stream: stream, directory: directory, dial: dial, connections: map[uint32]*queue{}, free: window,
		opened: map[uint32]bool{},
	}
	t.confirmed = sync.NewCond(&t.mutex)
	return t
}

// accept carries the connections that a listener accepts, until it is closed.
func (t *tunnel) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		t.mutex.Lock()
		t.last++
		id := t.last
		t.mutex.Unlock()
		t.carry(id, conn)
	}
}

// receive handles the frames of the other side until the stream ends.
func (t *tunnel) receive() error {
	in := bufio.NewReader(t.stream)
	for {
		id, data, err := t.frame(in)
		if err != nil {
			return err
		}
		if id == 0 {
			continue
		}
		t.mutex.Lock()
		q, isNew := t.connections[id], t.dial != nil && !t.opened[id] && len(data) > 0
		if isNew {
			t.opened[id] = true
		}
		t.mutex.Unlock()
		switch {
		case q != nil && len(data) == 0:
			q.end()
		case q != nil:
			q.add(data)
		case isNew:
			conn, err := t.dial()
			if err != nil {
				// It must not wait for the window here, where confirmations are received.
				go func() { _ = t.send(id, nil) }()
				continue
			}
			t.carry(id, conn).add(data)
		}
	}
}

// frame reads a frame. It handles a confirmation, whose id is 0.
func (t *tunnel) frame(in io.Reader) (id uint32, data []byte, err error) {
	var head [header]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	id, length := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	if id == 0 {
		t.confirm(int(length))
		return 0, nil, nil
	}
	size := length
	if length&inFile != 0 {
		size = 8
	}
	if size > maxData {
		return 0, nil, fmt.Errorf("a frame of the tunnel has %d bytes", size)
	}
	data = make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		return 0, nil, err
	}
	if t.dial == nil {
		if err := t.write(0, header+size, nil); err != nil {
			return 0, nil, err
		}
	}
	if length&inFile == 0 {
		return id, data, nil
	}
	name := t.file(binary.BigEndian.Uint64(data))
	data, err = os.ReadFile(name)
	if err == nil && uint32(len(data)) != length&^inFile { //nolint:gosec // at most maxData
		err = fmt.Errorf("%s has %d of %d bytes", name, len(data), length&^inFile)
	}
	return id, data, errors.Join(err, os.Remove(name))
}

func (t *tunnel) file(number uint64) string {
	return filepath.Join(t.directory, strconv.FormatUint(number, 10))
}

// carry starts to carry a connection.
func (t *tunnel) carry(id uint32, conn net.Conn) *queue {
	q := newQueue()
	t.mutex.Lock()
	t.connections[id] = q
	t.mutex.Unlock()
	go func() {
		buffer := make([]byte, maxData)
		for {
			n, err := conn.Read(buffer)
			if n > 0 {
				err = errors.Join(err, t.send(id, buffer[:n]))
			}
			if err != nil {
				break
			}
		}
		_ = t.send(id, nil)
		q.end()
	}()
	go func() {
		for data := range q.all {
			if _, err := conn.Write(data); err != nil {
				break
			}
		}
		_ = conn.Close()
		t.mutex.Lock()
		delete(t.connections, id)
		t.mutex.Unlock()
	}()
	return q
}

// send sends data. On the side of Serve it waits until the frame fits into the window.
func (t *tunnel) send(id uint32, data []byte) error {
	length := uint32(len(data)) //nolint:gosec // at most maxData
	if t.dial == nil {
		return t.write(id, length, data)
	}
	if len(data) > short {
		t.mutex.Lock()
		t.files++
		number := t.files
		t.mutex.Unlock()
		if err := os.WriteFile(t.file(number), data, 0o600); err != nil {
			return err
		}
		length |= inFile
		data = binary.BigEndian.AppendUint64(nil, number)
	}
	t.mutex.Lock()
	for t.free < header+len(data) {
		t.confirmed.Wait()
	}
	t.free -= header + len(data)
	t.mutex.Unlock()
	return t.write(id, length, data)
}

// confirm returns bytes to the window.
func (t *tunnel) confirm(bytes int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.free += bytes
	t.confirmed.Broadcast()
}

func (t *tunnel) write(id, length uint32, data []byte) error {
	frame := make([]byte, header, header+len(data))
	binary.BigEndian.PutUint32(frame, id)
	binary.BigEndian.PutUint32(frame[4:], length)
	t.writing.Lock()
	defer t.writing.Unlock()
	_, err := t.stream.Write(append(frame, data...))
	return err
}

// queue has the data for one connection, without a limit: a connection that is not read must not stop the others.
type queue struct {
	mutex sync.Mutex
	more  *sync.Cond
	data  [][]byte
	ended bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mutex)
	return q
}

func (q *queue) add(data []byte) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.data = append(q.data, data)
	q.more.Signal()
}

func (q *queue) end() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.ended = true
	q.more.Signal()
}

// all yields the data until the end.
func (q *queue) all(yield func([]byte) bool) {
	for {
		q.mutex.Lock()
		for len(q.data) == 0 && !q.ended {
			q.more.Wait()
		}
		if len(q.data) == 0 {
			q.mutex.Unlock()
			return
		}
		data := q.data[0]
		q.data = q.data[1:]
		q.mutex.Unlock()
		if !yield(data) {
			return
		}
	}
}
