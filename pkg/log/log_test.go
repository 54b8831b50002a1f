package log_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/log"
)

func TestNewReturnsALoggerOrNamesTheInvalidFlag(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options log.Options
		fails   string
		writes  string
	}{
		"writes JSON by default": {options: log.DefaultOptions(), writes: `"msg":"hello","key":"a/b"}`},
		"writes text with format text": {
			options: log.Options{Level: "info", Format: "text"}, writes: "msg=hello key=a/b",
		},
		"omits lines below the level": {options: log.Options{Level: "error", Format: "json"}},
		"names the flag of an invalid level": {
			options: log.Options{Level: "loud", Format: "json"},
			fails:   `--log-level="loud": must be debug, info, warn or error`,
		},
		"names the flag of an invalid format": {
			options: log.Options{Level: "info", Format: "xml"}, fails: `--log-format="xml": must be json or text`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			logger, err := test.options.New(&out)
			if test.fails != "" {
				require.EqualError(t, err, test.fails)
				return
			}
			require.NoError(t, err)
			logger.Info("hello", "key", "a/b")
			if test.writes == "" {
				require.Empty(t, out.String())
			}
			require.Contains(t, out.String(), test.writes)
		})
	}
}
