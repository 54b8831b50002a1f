package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Maximum sizes of responses in bytes. A policy may name any host, and the decoder of franz-go allocates up to 150
// bytes for each byte of a response: it allocates arrays with the length that the response claims.
const (
	// DefaultMaxResponse is the limit of metadata. It is enough for about 20,000 partitions with three replicas.
	DefaultMaxResponse = 1 << 20
	maxConfigs         = 128 << 10
	maxPartitions      = 192 << 10
	maxOther           = 64 << 10

	// topicsPerRequest and partitionsPerRequest keep responses below maxConfigs and maxPartitions.
	topicsPerRequest     = 250
	partitionsPerRequest = 500
)

// limitedConn limits the memory for responses. It reads a response completely, checks its size and the lengths of its
// arrays, and then passes it on.
type limitedConn struct {
	net.Conn
	maxMetadata int32

	mu      sync.Mutex
	pending []sentRequest

	// speaksKafka is true after the first valid response.
	speaksKafka bool
	// response is the rest of a checked response.
	response []byte
}

// sentRequest is a request without a response. Brokers answer in the order of the requests.
type sentRequest struct {
	key, version int16
	correlation  uint32
}

// Write records the request. franz-go writes each request with one call.
func (c *limitedConn) Write(p []byte) (int, error) {
	if len(p) >= 12 {
		c.mu.Lock()
		c.pending = append(c.pending, sentRequest{
			key: int16(binary.BigEndian.Uint16(p[4:])), version: int16(binary.BigEndian.Uint16(p[6:])),
			correlation: binary.BigEndian.Uint32(p[8:]),
		})
		c.mu.Unlock()
	}
	return c.Conn.Write(p)
}

func (c *limitedConn) Read(p []byte) (int, error) {
	if len(c.response) == 0 {
		if err := c.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.response)
	c.response = c.response[n:]
	return n, nil
}

// receive reads and checks the next response.
func (c *limitedConn) receive() error {
	var head [4]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return err
	}
	request, err := c.next()
	if err != nil {
		return err
	}
	size, limit := binary.BigEndian.Uint32(head[:]), c.limit(request.key)
	if size > uint32(limit) {
		err := fmt.Errorf("the response to %s has %d bytes; the limit is %d", kmsg.NameForKey(request.key), size, limit)
		if request.key == kmsg.Metadata.Int16() {
			err = fmt.Errorf("%w; raise --kafka-max-response-bytes and the memory limit", err)
		}
		return c.trust(err)
	}
	response := make([]byte, 4+size)
	copy(response, head[:])
	if _, err := io.ReadFull(c.Conn, response[4:]); err != nil {
		return err
	}
	if size < 4 || binary.BigEndian.Uint32(response[4:]) != request.correlation {
		return fmt.Errorf("the response to %s has another correlation id", kmsg.NameForKey(request.key))
	}
	if request.key == kmsg.Metadata.Int16() {
		if err := checkMetadata(response[4:], request.version); err != nil {
			return c.trust(err)
		}
	}
	c.response, c.speaksKafka = response, true
	return nil
}

// trust marks an error as reportable if the peer has sent a valid response before.
func (c *limitedConn) trust(err error) error {
	if c.speaksKafka {
		return trustedPeerError{err}
	}
	return err
}

func (c *limitedConn) next() (sentRequest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return sentRequest{}, errors.New("response without a request")
	}
	request := c.pending[0]
	c.pending = c.pending[1:]
	return request, nil
}

func (c *limitedConn) limit(key int16) int32 {
	switch kmsg.Key(key) {
	case kmsg.Metadata:
		return c.maxMetadata
	case kmsg.DescribeConfigs:
		return maxConfigs
	case kmsg.DescribeTopicPartitions:
		return maxPartitions
	}
	return maxOther
}

// checkMetadata returns an error if an array of a Metadata response claims more elements than its bytes can contain.
func checkMetadata(response []byte, version int16) error {
	w := &walker{rest: response, flexible: version >= 9}
	w.skip(4) // correlation id
	w.tags()
	w.skipSince(version, 3, 4) // throttle time
	for range w.array(10) {
		w.skip(4) // id
		w.text()  // host
		w.skip(4) // port
		if version >= 1 {
			w.text() // rack
		}
		w.tags()
	}
	if version >= 2 {
		w.text() // cluster id
	}
	w.skipSince(version, 1, 4) // controller id
	for range w.array(6) {
		w.skip(2)                    // error
		w.text()                     // name
		w.skipSince(version, 10, 16) // id
		w.skipSince(version, 1, 1)   // internal
		for range w.array(18) {
			w.skip(10)                 // error, partition, leader
			w.skipSince(version, 7, 4) // leader epoch
			w.skip(4 * w.array(4))     // replicas
			w.skip(4 * w.array(4))     // ISR
			if version >= 5 {
				w.skip(4 * w.array(4)) // offline replicas
			}
			w.tags()
		}
		w.skipSince(version, 8, 4) // authorized operations
		w.tags()
	}
	if w.invalid {
		return errors.New("the Metadata response is not valid")
	}
	return nil
}

// walker skips the fields of a response without an allocation.
type walker struct {
	rest     []byte
	flexible bool
	invalid  bool
}

func (w *walker) skip(n int) {
	if n < 0 || n > len(w.rest) {
		w.rest, w.invalid = nil, true
		return
	}
	w.rest = w.rest[n:]
}

// skipSince skips a field that exists since a version.
func (w *walker) skipSince(version, since int16, n int) {
	if version >= since {
		w.skip(n)
	}
}

func (w *walker) uvarint() int {
	value, n := binary.Uvarint(w.rest)
	if n <= 0 || value > 1<<31-1 {
		w.rest, w.invalid = nil, true
		return 0
	}
	w.rest = w.rest[n:]
	return int(value)
}

// text skips a string, which may be null.
func (w *walker) text() {
	if w.flexible {
		w.skip(max(w.uvarint()-1, 0))
		return
	}
	if len(w.rest) < 2 {
		w.skip(2)
		return
	}
	n := int(int16(binary.BigEndian.Uint16(w.rest)))
	w.skip(2)
	w.skip(max(n, 0))
}

// array returns the number of elements of an array, whose elements have at least the given size. It is 0 for null.
func (w *walker) array(minimum int) int {
	n := 0
	switch {
	case w.flexible:
		n = w.uvarint() - 1
	case len(w.rest) < 4:
		w.skip(4)
	default:
		n = int(int32(binary.BigEndian.Uint32(w.rest)))
		w.skip(4)
	}
	if n > len(w.rest)/minimum {
		w.rest, w.invalid = nil, true
	}
	if w.invalid {
		return 0
	}
	return max(n, 0)
}

// tags skips the tagged fields of flexible versions.
func (w *walker) tags() {
	if !w.flexible {
		return
	}
	for n := w.uvarint(); n > 0 && !w.invalid; n-- {
		w.uvarint()
		w.skip(w.uvarint())
	}
}
