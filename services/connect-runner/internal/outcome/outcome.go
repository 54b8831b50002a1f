// Package outcome maps the result of a run to an exit code and a termination message.
package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/text"
)

// MaxMessage is the maximum length of a message in bytes. Kubernetes keeps 4096 bytes of the whole termination
// message, and JSON escapes may double the length of a text.
const MaxMessage = 1536

// MaxTermination is the maximum length of a termination message in bytes.
const MaxTermination = 4096

// Error is an error with a termination reason.
type Error struct {
	// Reason is one of the contract's termination reasons.
	Reason string
	// Err has no secrets in its text.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error with a formatted message.
func Errorf(reason, format string, args ...any) error {
	return &Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// codes maps a reason to its exit code. All other errors exit with 1.
var codes = map[string]int{
	contract.ReasonTaskFailed:           1,
	contract.ReasonConnectorFailed:      1,
	contract.ReasonOffsetsFailed:        1,
	contract.ReasonConfigInvalid:        10,
	contract.ReasonWorkerConfigInvalid:  11,
	contract.ReasonPluginInvalid:        12,
	contract.ReasonTaskConfigsTooLarge:  13,
	contract.ReasonTaskConfigStale:      14,
	contract.ReasonKafkaUnreachable:     15,
	contract.ReasonOutOfMemory:          16,
	contract.ReasonConnectorConfigStale: 17,
	contract.ReasonJVMStartFailed:       18,
}

// Code returns the exit code for an error; 0 for nil.
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

// Termination returns the termination message for an error. Errors without a reason get defaultReason.
func Termination(err error, defaultReason string) contract.Termination {
	t := contract.Termination{Reason: defaultReason, Message: Line(err.Error())}
	var e *Error
	if errors.As(err, &e) {
		t.Reason = e.Reason
	}
	return t
}

// Line returns s as one line of at most MaxMessage bytes.
func Line(s string) string { return text.Truncate(text.OneLine(s), MaxMessage) }

// Write writes the termination message to a file, as one line of JSON.
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
