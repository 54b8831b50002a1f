// Package log creates the structured logger of a service and sends client-go's log lines to it.
package log

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// Options are the values of the log flags.
type Options struct {
	// Level is the minimum level: debug, info, warn or error.
	Level string
	// Format of log lines: json or text.
	Format string
}

// DefaultOptions returns level info and format json.
func DefaultOptions() Options { return Options{Level: "info", Format: "json"} }

// AddFlags registers --log-level and --log-format.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Level, "log-level", o.Level, "minimum level of log lines: debug, info, warn or error")
	flags.StringVar(&o.Format, "log-format", o.Format, "format of log lines: json or text")
}

// New returns a logger that writes to w. Its error names the invalid flag and the valid values.
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

// CaptureKlog sends the log lines of client-go to l. klog is global, so call it once per process.
func CaptureKlog(l *slog.Logger) { klog.SetSlogLogger(l.With("logger", "client-go")) }
