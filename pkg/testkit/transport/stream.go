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

// stream is one watch. It receives events from the server immediately and delivers them to the client when allowed.
type stream struct {
	t        *Transport
	upstream io.ReadCloser
	reader   *io.PipeReader
	writer   *io.PipeWriter
	closed   chan struct{}
	closing  sync.Once
	queue    chan arrival
	// expired requests the end of the stream. dropped and initial are guarded by the lock of the Transport.
	expired chan struct{}
	// dropped reports that events were dropped, so the stream must end.
	dropped bool
	// initial reports that the events so far are those of the initial state.
	initial bool
}

type arrival struct {
	event json.RawMessage
	at    time.Time
}

// queued is the number of events that can be held back before the server is blocked.
const queued = 4096

func (t *Transport) newStream(upstream io.ReadCloser, initial bool) io.ReadCloser {
	s := &stream{
		t: t, upstream: upstream, initial: initial,
		closed: make(chan struct{}), expired: make(chan struct{}), queue: make(chan arrival, queued),
	}
	s.reader, s.writer = io.Pipe()
	t.mu.Lock()
	t.streams[s] = struct{}{}
	t.mu.Unlock()
	go s.receive()
	go s.deliver()
	return s
}

func (s *stream) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Close closes the stream for the client.
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

func (s *stream) receive() {
	defer close(s.queue)
	decoder := json.NewDecoder(s.upstream)
	for {
		var event json.RawMessage
		if decoder.Decode(&event) != nil {
			return
		}
		if s.drops(event) {
			continue
		}
		select {
		case s.queue <- arrival{event, time.Now()}:
		case <-s.closed:
			return
		}
	}
}

// drops reports whether to drop an event on arrival.
func (s *stream) drops(event json.RawMessage) bool {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.initial {
		s.initial = !endsInitialEvents(event)
		return false
	}
	// Bookmarks are dropped too: they tell the client that it has received all events before them. After a dropped
	// event only the end of the stream may follow.
	s.dropped = s.dropped || s.t.dropping
	return s.dropped
}

func (s *stream) deliver() {
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

// wait returns true when the event may be delivered, and false if the stream must end first.
func (s *stream) wait(arrived time.Time) bool {
	s.t.mu.Lock()
	resumed, lag := s.t.resumed, s.t.lag
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
	case <-resumed:
		return true
	case <-s.expired:
		return false
	case <-s.closed:
		return false
	}
}

// expire requires the lock of the Transport.
func (s *stream) expire() {
	if !s.dropped {
		return
	}
	select {
	case <-s.expired:
	default:
		close(s.expired)
	}
}

// end ends the stream with an error that makes the client list again.
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
	return json.Unmarshal(event, &e) == nil && e.Type == watch.Bookmark &&
		e.Object.Annotations[metav1.InitialEventsAnnotationKey] == "true"
}
