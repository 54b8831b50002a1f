// Package log makes the structured logger of a service and routes client-go's own log lines through it.
package log

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// Options are the flags of the log.
type Options struct {
	// Level is the least level that is written: debug, info, warn or error.
	Level string
	// Format of a line: json or text.
	Format string
}

// Defaults are info and json.
func DefaultOptions() Options { return Options{Level: "info", Format: "json"} }

// AddFlags registers --log-level and --log-format.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Level, "log-level", o.Level, "least level to log: debug, info, warn or error")
	flags.StringVar(&o.Format, "log-format", o.Format, "form of a log line: json or text")
}

// New makes the logger; an error names the flag and what it may be.
func (o Options) New(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.Level)); err != nil {
		return nil, fmt.Errorf("--log-level=%q: must be debug, info, warn or error", o.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch o.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format=%q: must be json or text", o.Format)
}

// CaptureKlog sends what client-go logs to l. It is for a process's main only, because klog is global.
func CaptureKlog(l *slog.Logger) { klog.SetSlogLogger(l.With("logger", "client-go")) }
