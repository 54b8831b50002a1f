package jvm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/weir-dev/weir/apis/contract"
)

// Event is one line that the JVM writes to the entry point.
type Event struct {
	// Event is heartbeat, running, taskConfigs, failed, stopped, result or metrics.
	Event string `json:"event"`

	// Reason and Message tell why it failed; Message is also that of a result.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	// Configs are what the connector wants its tasks to do.
	Configs []contract.TaskConfig `json:"configs,omitempty"`
	// RequestedAt is when the connector asked for them, in milliseconds since 1970.
	RequestedAt int64 `json:"requestedAt,omitempty"`
	// ExactlyOnce is whether their tasks are those of an exactly-once source.
	ExactlyOnce bool `json:"exactlyOnce,omitempty"`

	// Clean is whether everything was closed.
	Clean bool `json:"clean,omitempty"`

	// ID and Text answer a request for metrics.
	ID   int64  `json:"id,omitempty"`
	Text string `json:"text,omitempty"`

	// Errors is the result of validate, Offsets that of listing offsets.
	Errors  map[string][]string        `json:"errors,omitempty"`
	Offsets []contract.ConnectorOffset `json:"offsets,omitempty"`
}

// maxLine is how long a line may be: task configs of many times the size that can be published are still read, to be
// refused with a reason.
const maxLine = 64 << 20

// ReadEvents hands over each event until the JVM closes its end. A line that is no event is an error: the pipe is the
// JVM part's alone.
func ReadEvents(in io.Reader, handle func(Event)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		e, err := ParseEvent(lines.Bytes())
		if err != nil {
			return err
		}
		handle(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events of the JVM: %w", err)
	}
	return nil
}

// ParseEvent reads one line.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		// The line may hold secrets, and so may the decoder's text.
		return e, fmt.Errorf("read events of the JVM: a line of %d bytes is no event", len(line))
	}
	if e.Event == "" {
		return e, fmt.Errorf("read events of the JVM: a line of %d bytes names no event", len(line))
	}
	return e, nil
}
