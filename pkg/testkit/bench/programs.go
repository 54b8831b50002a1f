package bench

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Programs returns the CPU time by program of the processes whose command line contains dir. With the directory of a
// control plane these are its programs and those that use it, with an empty dir all processes.
func Programs(dir string) map[string]time.Duration {
	used := map[string]time.Duration{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		arguments, err := os.ReadFile(filepath.Join(process, "cmdline"))
		if err != nil || !bytes.Contains(arguments, []byte(dir)) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(process))
		program, _, _ := bytes.Cut(arguments, []byte{0})
		used[filepath.Base(string(program))] += time.Duration(CPU(pid) * float64(time.Second))
	}
	return used
}

// Spent returns the difference between two results of Programs.
func Spent(before, after map[string]time.Duration) map[string]time.Duration {
	diff := maps.Clone(after)
	for program, used := range before {
		diff[program] -= used
	}
	return diff
}

// Total returns the CPU time of all programs but those excluded.
func Total(used map[string]time.Duration, excluded ...string) time.Duration {
	var sum time.Duration
	for program, d := range used {
		if !slices.Contains(excluded, program) {
			sum += d
		}
	}
	return sum
}
