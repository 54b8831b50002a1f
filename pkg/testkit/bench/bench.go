// Package bench is the common part of all benchmarks: alternating rounds against a baseline, summaries with the
// spread of the rounds, and memory and CPU time of processes.
package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weir-dev/weir/pkg/timer"
)

// MinRounds is the number of rounds that a comparison needs at least. Single rounds on a shared machine differ by
// half.
const MinRounds = 5

// Rounds runs every subject once per round and stops at the first error. Every second round runs the subjects in
// reverse order, so that a slow drift of the machine, such as a warm page cache, does not favor one of them. round
// starts at 0.
func Rounds(n int, subjects ...func(round int) error) error {
	for round := range n {
		for i := range subjects {
			if round%2 == 1 {
				i = len(subjects) - 1 - i
			}
			if err := subjects[i](round); err != nil {
				return fmt.Errorf("round %d of %d: %w", round+1, n, err)
			}
		}
	}
	return nil
}

// Logf prints progress with the time of day to stderr. Results go to stdout.
func Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// Sleep waits for a duration, for measurements of an idle service. It returns early when the context ends.
func Sleep(ctx context.Context, d time.Duration) error {
	if !timer.Sleep(ctx, d) {
		return ctx.Err()
	}
	return nil
}

// Memory returns the resident set size (VmRSS) of a process and its peak (VmHWM) in MiB. Both are 0 on systems
// without /proc.
func Memory(pid int) (resident, peak float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	value := func(key string) float64 {
		for line := range strings.Lines(string(data)) {
			if after, found := strings.CutPrefix(line, key+":"); found {
				kib, _ := strconv.ParseFloat(strings.Fields(after)[0], 64)
				return kib / 1024
			}
		}
		return 0
	}
	return value("VmRSS"), value("VmHWM")
}

// ticksPerSecond is the unit of CPU time in /proc (USER_HZ), on every platform that Go supports.
const ticksPerSecond = 100

// CPU returns the CPU time of a process in seconds. It is 0 on systems without /proc.
func CPU(pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The program name, in parentheses, may contain spaces. The numbers follow it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
}
