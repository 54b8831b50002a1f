package transport

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// stream is one watch: events are taken from the server as they come, and given to the client when they may be.
type stream struct {
	t        *Transport
	upstream io.ReadCloser
	reader   *io.PipeReader
	writer   *io.PipeWriter
	closed   chan struct{}
	closing  sync.Once
	queue    chan arrival
	// expired asks for the end of the stream; lost, which makes it necessary, and initial are guarded by the Transport's lock.
	expired chan struct{}
	lost    bool
	// initial: the events so far say how things are, not what has happened.
	initial bool
}

type arrival struct {
	event json.RawMessage
	at    time.Time
}

// queued events are as many as a test's caches could miss in the longest freeze; then the server has to wait.
const queued = 4096

func (t *Transport) disturb(upstream io.ReadCloser, initial bool) io.ReadCloser {
	s := &stream{
		t: t, upstream: upstream, initial: initial,
		closed: make(chan struct{}), expired: make(chan struct{}), queue: make(chan arrival, queued),
	}
	s.reader, s.writer = io.Pipe()
	t.mu.Lock()
	t.streams[s] = struct{}{}
	t.mu.Unlock()
	go s.take()
	go s.give()
	return s
}

func (s *stream) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Close is the client's.
func (s *stream) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.t.mu.Lock()
		delete(s.t.streams, s)
		s.t.mu.Unlock()
		s.reader.Close()
	})
	return s.upstream.Close()
}

func (s *stream) take() {
	defer close(s.queue)
	decoder := json.NewDecoder(s.upstream)
	for {
		var event json.RawMessage
		if decoder.Decode(&event) != nil {
			return
		}
		if s.loses(event) {
			continue
		}
		select {
		case s.queue <- arrival{event, time.Now()}:
		case <-s.closed:
			return
		}
	}
}

// loses decides as the event arrives.
func (s *stream) loses(event json.RawMessage) bool {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.initial {
		s.initial = !endsInitialEvents(event)
		return false
	}
	// A bookmark, too: it would tell the client that it has seen everything up to there.
	s.lost = s.lost || s.t.losing
	// Once something was lost nothing may follow but the end.
	return s.lost
}

func (s *stream) give() {
	defer s.Close()
	for {
		select {
		case next, ok := <-s.queue:
			if !ok {
				s.writer.CloseWithError(io.EOF)
				return
			}
			if !s.wait(next.at) {
				s.end()
				return
			}
			if _, err := s.writer.Write(append(next.event, '\n')); err != nil {
				return
			}
		case <-s.expired:
			s.end()
			return
		case <-s.closed:
			return
		}
	}
}

// wait returns when an event may be delivered; false means that the stream is to end first.
func (s *stream) wait(arrived time.Time) bool {
	s.t.mu.Lock()
	thawed, lag := s.t.thawed, s.t.lag
	s.t.mu.Unlock()
	if lag > 0 {
		timer := time.NewTimer(time.Until(arrived.Add(lag)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.expired:
			return false
		case <-s.closed:
			return false
		}
	}
	select {
	case <-thawed:
		return true
	case <-s.expired:
		return false
	case <-s.closed:
		return false
	}
}

// expire is called with the Transport's lock held.
func (s *stream) expire() {
	if !s.lost {
		return
	}
	select {
	case <-s.expired:
	default:
		close(s.expired)
	}
}

// end tells the client that it has missed something.
func (s *stream) end() {
	status, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone,
		Message: "too old resource version",
	})
	if err == nil {
		var event []byte
		event, err = json.Marshal(map[string]any{"type": watch.Error, "object": json.RawMessage(status)})
		if err == nil {
			_, err = s.writer.Write(append(event, '\n'))
		}
	}
	if err == nil {
		err = io.EOF
	}
	s.writer.CloseWithError(err)
}

func endsInitialEvents(event json.RawMessage) bool {
	var e struct {
		Type   watch.EventType
		Object metav1.PartialObjectMetadata
	}
	return json.Unmarshal(event, &e) == nil && e.Type == watch.Bookmark && e.Object.Annotations[metav1.InitialEventsAnnotationKey] == "true"
}
