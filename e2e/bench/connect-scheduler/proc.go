package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

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
		pid, _ := strconv.Atoi(filepath.Base(process))
		program, _, _ := bytes.Cut(arguments, []byte{0})
		used[filepath.Base(string(program))] += time.Duration(bench.CPU(pid) * float64(time.Second))
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
