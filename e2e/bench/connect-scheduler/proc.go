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

// ticksPerSecond is the unit of CPU time in /proc (USER_HZ), on every platform that Go supports.
const ticksPerSecond = 100

// cpu returns the CPU time of each process whose command line contains dir: the control plane and the programs that
// use it.
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
		// The program name, in parentheses, may contain spaces. The numbers follow it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		program, _, _ := bytes.Cut(arguments, []byte{0})
		used[filepath.Base(string(program))] += time.Duration(user+system) * time.Second / ticksPerSecond
	}
	return used
}

// spent returns the difference between two results of cpu.
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
