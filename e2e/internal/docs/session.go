package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/weir-dev/weir/pkg/testkit/process"
)

// Session executes blocks one after the other in bash. Exported variables and the working directory carry over to
// the next block.
type Session struct {
	// Root is the initial working directory.
	Root string
	// Env is added to the environment of this process.
	Env []string
	// Dir is a directory for the state of the shell.
	Dir string
}

// Run executes a block and compares its output. With Wait it repeats the block until it succeeds.
func (s *Session) Run(ctx context.Context, b Block) error {
	if b.Wait == 0 {
		return s.once(ctx, b)
	}
	limit := time.Now().Add(b.Wait)
	for {
		err := s.once(ctx, b)
		if err == nil || time.Now().After(limit) {
			return err
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		case <-timer.C:
		}
	}
}

// once executes a block once. The shell stops at the first error.
func (s *Session) once(ctx context.Context, b Block) error {
	state := filepath.Join(s.Dir, "state")
	restore, save := "cd "+quote(s.Root), "{ export -p; printf 'cd %q\\n' \"$PWD\"; } >"+quote(state)
	if _, err := os.Stat(state); err == nil {
		restore = "source " + quote(state)
	}
	script := "set -euo pipefail\n" + restore + "\n" + b.Script + "\n" + save + "\n"
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = s.Root
	cmd.Env = append(os.Environ(), s.Env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Children of the shell end with it, also at the time limit.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	err := process.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf(
			"%s: %w\n%s\n--- stdout\n%s--- stderr\n%s",
			b.Position(),
			err,
			b.Script,
			stdout.String(),
			tail(stderr.String()),
		)
	}
	if b.HasOutput {
		if err := matches(b.Output, stdout.String()); err != nil {
			return fmt.Errorf(
				"%s: the output differs from the documented output: %w\n--- documented\n%s\n--- actual\n%s",
				b.Position(),
				err,
				b.Output,
				stdout.String(),
			)
		}
	}
	return nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// tail returns the last 4 KiB of a text.
func tail(s string) string { return s[max(0, len(s)-4096):] }

const (
	// ellipsis stands for any text within a line; a line with only an ellipsis stands for any number of lines.
	ellipsis = "…"
	// duration stands for any duration as kubectl prints it, such as the values of a column AGE.
	duration = `(\d+(\.\d+)?(ms|s|m|h|d|y))+`
)

var durations = regexp.MustCompile(`\b` + duration + `\b`)

// matches compares documented output with actual output. Runs of spaces are equal, and so are durations.
func matches(documented, actual string) error {
	want, got := nonEmptyLines(documented), nonEmptyLines(actual)
	skip := false
	for _, line := range want {
		if line == ellipsis {
			skip = true
			continue
		}
		pattern := linePattern(line)
		i := 0
		for skip && i < len(got) && !pattern.MatchString(got[i]) {
			i++
		}
		if i == len(got) || !pattern.MatchString(got[i]) {
			return fmt.Errorf("line %q is missing", line)
		}
		got, skip = got[i+1:], false
	}
	if len(got) > 0 && !skip {
		return fmt.Errorf("line %q is not documented", got[0])
	}
	return nil
}

func nonEmptyLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// linePattern turns a documented line into a regular expression.
func linePattern(line string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	for i, part := range strings.Split(line, ellipsis) {
		if i > 0 {
			b.WriteString(".*")
		}
		at := 0
		for _, match := range durations.FindAllStringIndex(part, -1) {
			b.WriteString(regexp.QuoteMeta(part[at:match[0]]) + duration)
			at = match[1]
		}
		b.WriteString(regexp.QuoteMeta(part[at:]))
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String())
}
