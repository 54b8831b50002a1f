package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

func TestReasonsMapToExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		code int
	}{
		{"a run without an error", nil, 0},
		{"an error without a reason", errors.New("x"), 1},
		{"an unknown reason", Errorf("Surprise", "x"), 1},
		{"a failed task", Errorf(contract.ReasonTaskFailed, "x"), 1},
		{"a wrapped error", fmt.Errorf("start: %w", Errorf(contract.ReasonTaskConfigStale, "x")), 14},
		{"memory", Errorf(contract.ReasonOutOfMemory, "x"), 16},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.code, Code(test.err)) })
	}
}

func TestTerminationMessageIsOneParseableLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termination-log")
	err := Errorf(contract.ReasonTaskFailed, "first line\n\tsecond \"line\" %s", strings.Repeat("ä", 2*MaxMessage))
	require.NoError(t, Write(path, Termination(err, "Other")))
	text, readErr := os.ReadFile(path)
	require.NoError(t, readErr)
	require.Equal(t, 1, strings.Count(string(text), "\n"))
	require.Less(t, len(text), MaxTermination)
	got, ok := contract.ParseTermination(string(text))
	require.True(t, ok)
	require.Equal(t, contract.ReasonTaskFailed, got.Reason)
	require.True(t, strings.HasPrefix(got.Message, `first line second "line" ä`))
	require.Equal(t, "Other", Termination(errors.New("x"), "Other").Reason)
}

func FuzzTerminationMessages(f *testing.F) {
	f.Add("plain")
	f.Add("two\nlines\xff\x00\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		line := Line(text)
		require.LessOrEqual(t, len(line), MaxMessage)
		require.True(t, utf8.ValidString(line))
		require.NotContains(t, line, "\n")
		encoded, err := json.Marshal(contract.Termination{Reason: "X", Message: line})
		require.NoError(t, err)
		got, ok := contract.ParseTermination(string(encoded))
		require.True(t, ok)
		require.Equal(t, line, got.Message)
	})
}
