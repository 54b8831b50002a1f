package jvm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/weir-dev/weir/apis/contract"
)

// Event is one line from the JVM.
type Event struct {
	// Event is heartbeat, running, taskConfigs, failed, stopped, result or metrics.
	Event string `json:"event"`

	// Reason and Message describe a failure. Message is also part of a result.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	// Configs are the connector's task configs.
	Configs []contract.TaskConfig `json:"configs,omitempty"`
	// RequestedAt is the time of the connector's request, in milliseconds since 1970.
	RequestedAt int64 `json:"requestedAt,omitempty"`
	// ExactlyOnce is true for an exactly-once source.
	ExactlyOnce bool `json:"exactlyOnce,omitempty"`
	// Sink is true for a sink.
	Sink bool `json:"sink,omitempty"`

	// Clean is true if the connector or task was closed without error.
	Clean bool `json:"clean,omitempty"`

	// ID and Text are the response to a metrics request.
	ID   int64  `json:"id,omitempty"`
	Text string `json:"text,omitempty"`

	// Errors is the result of validate, Offsets the result of `offsets list`.
	Errors  map[string][]string        `json:"errors,omitempty"`
	Offsets []contract.ConnectorOffset `json:"offsets,omitempty"`
}

// maxLine is the maximum length of a line. It is far above the size that can be published, so that larger task configs
// are refused with a reason.
const maxLine = 64 << 20

// ReadEvents calls handle for each event until the JVM closes the pipe. A line that is not an event is an error: only
// connect-runner's own Java code writes to the pipe.
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

// ParseEvent parses one line.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		// The line and the decoder's message may contain secrets.
		return e, fmt.Errorf("read events of the JVM: a line of %d bytes is not an event", len(line))
	}
	if e.Event == "" {
		return e, fmt.Errorf("read events of the JVM: a line of %d bytes has no field event", len(line))
	}
	return e, nil
}
