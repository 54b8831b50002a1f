package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticks a second are what the kernel counts CPU time in, on every platform that Go runs on.
const ticks = 100

// cpu is the CPU time that each program has used whose arguments name a directory: the components of a control plane, and what
// runs beside it.
func cpu(dir string) map[string]time.Duration {
	used := map[string]time.Duration{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		arguments, err := os.ReadFile(filepath.Join(process, "cmdline"))
		if err != nil || !bytes.Contains(arguments, []byte(dir)) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(process, "stat"))
		if err != nil {
			continue
		}
		// The name, in parentheses, may hold anything; the numbers come after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		program, _, _ := bytes.Cut(arguments, []byte{0})
		used[filepath.Base(string(program))] += time.Duration(user+system) * time.Second / ticks
	}
	return used
}

// spent is the CPU time used between two looks.
func spent(before, after map[string]time.Duration) map[string]time.Duration {
	diff := maps.Clone(after)
	for program, used := range before {
		diff[program] -= used
	}
	return diff
}

func total(used map[string]time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range used {
		sum += d
	}
	return sum
}
