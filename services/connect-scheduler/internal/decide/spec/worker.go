package spec

import (
	"strings"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// ReadWorker returns the settings of worker.properties on which decisions depend. They contain no secrets.
func ReadWorker(properties []byte) observed.WorkerSettings {
	var settings observed.WorkerSettings
	for _, line := range logicalLines(string(properties)) {
		switch key, value := property(line); key {
		case "offset.storage.topic":
			settings.OffsetsTopic = strings.TrimSpace(value)
		case "bootstrap.servers":
			settings.Servers = nil
			for server := range strings.SplitSeq(value, ",") {
				if server = strings.TrimSpace(server); server != "" {
					settings.Servers = append(settings.Servers, server)
				}
			}
		}
	}
	return settings
}

// logicalLines returns the lines of a properties file without comments. A backslash at the end of a line continues it.
func logicalLines(text string) []string {
	var lines []string
	continued := false
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimLeft(line, " \t\f")
		if !continued && (line == "" || strings.ContainsAny(line[:1], "#!")) {
			continue
		}
		backslashes := len(line) - len(strings.TrimRight(line, `\`))
		continues := backslashes%2 == 1
		line = strings.TrimSuffix(line, map[bool]string{true: `\`}[continues])
		if continued {
			lines[len(lines)-1] += line
		} else {
			lines = append(lines, line)
		}
		continued = continues
	}
	return lines
}

// property splits a line at the first separator that is not escaped.
func property(line string) (key, value string) {
	var text strings.Builder
	rest := line
	for rest != "" && !strings.ContainsAny(rest[:1], "=: \t\f") {
		if rest[0] == '\\' && len(rest) > 1 {
			rest = rest[1:]
		}
		text.WriteByte(rest[0])
		rest = rest[1:]
	}
	rest = strings.TrimLeft(rest, " \t\f")
	if rest != "" && strings.ContainsAny(rest[:1], "=:") {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	return text.String(), strings.ReplaceAll(rest, `\`, "")
}
