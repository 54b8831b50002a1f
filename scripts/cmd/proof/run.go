package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// result is what the last run of a command printed.
type result struct {
	Date    string   `json:"date"`
	Commit  string   `json:"commit"`
	Machine string   `json:"machine"`
	Seconds int      `json:"seconds,omitempty"`
	Passed  bool     `json:"passed"`
	Lines   []string `json:"lines"`
}

// run runs the command of a claim and shows its output.
func (c claim) run(ctx context.Context, root string) (result, error) {
	fmt.Fprintf(os.Stderr, "proof: %s: %s\n", c.ID, c.Command)
	r := result{Date: time.Now().UTC().Format(time.DateOnly), Machine: machine()}
	began := time.Now()
	var output bytes.Buffer
	command := exec.CommandContext(ctx, "bash", "-c", c.Command)
	command.Dir = root
	// With CI=true, tests that cannot run fail instead of being skipped.
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "CI=true")
	command.Stdout = io.MultiWriter(&output, os.Stderr)
	command.Stderr = command.Stdout
	// An interrupt lets tests stop what they have started.
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	failed := command.Run()
	r.Seconds, r.Passed = int(time.Since(began).Seconds()), failed == nil
	lines, err := c.figures(output.String())
	if failed != nil {
		// The reason is in the output above. The page says that the run failed.
		lines = append(lines, failed.Error())
		r.Lines = lines
		return r, failed
	}
	r.Lines = lines
	return r, err
}

// write writes the result of a claim.
func (r result) write(dir, id string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, id+".json"), append(data, '\n'), 0o644) //nolint:gosec // a document
}

// readResult reads the result of a claim. It returns nil if the claim has none.
func readResult(dir, id string) (*result, error) {
	file := filepath.Join(dir, id+".json")
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // no result is not an error
	}
	if err != nil {
		return nil, err
	}
	var r result
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &r, nil
}

// cleanCommit returns the commit of a work tree without changes.
func cleanCommit(ctx context.Context, root string) (string, error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w", args[0], err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	changes, err := git("status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changes != "" {
		return "", errors.New("the work tree has changes: commit them first; a result names its commit")
	}
	return git("rev-parse", "--short=10", "HEAD")
}

func machine() string {
	return fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}
