// Package outcome turns the end of a run into an exit code and a termination message.
package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/weir-dev/weir/apis/contract"
)

// MaxMessage is how many bytes of a message are kept: Kubernetes keeps 4096 of the whole termination message, and
// escaping may double the length of a text.
const MaxMessage = 1536

// MaxTermination is how long a termination message may be in all.
const MaxTermination = 4096

// Error is a failure whose reason is known.
type Error struct {
	// Reason is one of contract's reasons of a Termination.
	Reason string
	// Err is what happened; its text holds no secret.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error.
func Errorf(reason, format string, args ...any) error {
	return &Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// codes are the exit codes of the reasons; a failure without a reason of its own exits with 1.
var codes = map[string]int{
	contract.ReasonTaskFailed:          1,
	contract.ReasonConnectorFailed:     1,
	contract.ReasonOffsetsFailed:       1,
	contract.ReasonConfigInvalid:       10,
	contract.ReasonWorkerConfigInvalid: 11,
	contract.ReasonPluginInvalid:       12,
	contract.ReasonTaskConfigsTooLarge: 13,
	contract.ReasonTaskConfigStale:     14,
	contract.ReasonKafkaUnreachable:    15,
	contract.ReasonOutOfMemory:         16,
}

// Code is the exit code for the end of a run; 0 for nil.
func Code(err error) int {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		if code, ok := codes[e.Reason]; ok {
			return code
		}
	}
	return 1
}

// Termination is what the container says of a failure. Reasons that are missing become otherwise.
func Termination(err error, otherwise string) contract.Termination {
	t := contract.Termination{Reason: otherwise, Message: Line(err.Error())}
	var e *Error
	if errors.As(err, &e) {
		t.Reason = e.Reason
	}
	return t
}

// Line makes one line of a text and shortens it to MaxMessage bytes.
func Line(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if len(text) <= MaxMessage {
		return text
	}
	cut := MaxMessage - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Write puts the termination message into a file, as one line of JSON.
func Write(path string, t contract.Termination) error {
	line, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write termination message: %w", err)
	}
	if err := os.WriteFile(path, append(line, '\n'), 0o644); err != nil {
		return fmt.Errorf("write termination message: %w", err)
	}
	return nil
}
