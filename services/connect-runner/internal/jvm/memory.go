package jvm

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What a JVM with Connect needs beside its heap: classes, compiled code, stacks, direct buffers of the Kafka clients, and
// the Go entry point. A quarter of the limit, but never less than the least that works and never more than is ever used.
const (
	mib         = 1 << 20
	minReserved = 192 * mib
	maxReserved = 1024 * mib
	minHeap     = 64 * mib
	// noLimit is above every machine's memory: cgroup v1 says "no limit" by such a number.
	noLimit = 1 << 50
)

// HeapArgs are the JVM's options for its heap in a container that may use limit bytes. Without a limit the JVM chooses
// (a quarter of the machine). A limit too small for any heap gets the least heap: the JVM's end then says what is wrong.
func HeapArgs(limit int64) []string {
	if limit <= 0 {
		return nil
	}
	reserved := min(max(limit/4, minReserved), maxReserved)
	heap := max(limit-reserved, minHeap)
	return []string{"-Xmx" + strconv.FormatInt(heap/mib, 10) + "m"}
}

// MemoryLimit is the memory limit in bytes of the cgroup that this process is in, and of those above it; 0 for none.
// root is where the cgroup file system is mounted, self is /proc/self/cgroup.
func MemoryLimit(root, self string) int64 {
	limit := int64(math.MaxInt64)
	for _, dir := range groups(root, self) {
		for _, file := range []string{"memory.max", "memory.limit_in_bytes"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && n > 0 && n < noLimit {
				limit = min(limit, n)
			}
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// OOMKills is how often the kernel has killed a process of this cgroup for memory; 0 where it does not say.
func OOMKills(root, self string) int64 {
	var kills int64
	for _, dir := range groups(root, self) {
		for _, file := range []string{"memory.events", "memory.oom_control"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == "oom_kill" {
					n, _ := strconv.ParseInt(value, 10, 64)
					kills = max(kills, n)
				}
			}
		}
	}
	return kills
}

// groups are the directories of this process's cgroup and of those above it, in version 2 and in version 1's hierarchy
// for memory. In a container the process's own group is most often mounted as the root.
func groups(root, self string) []string {
	dirs := []string{root, filepath.Join(root, "memory")}
	text, err := os.ReadFile(self)
	if err != nil {
		return dirs
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base := root
		switch {
		case parts[1] == "" && parts[0] == "0":
		case strings.Contains(","+parts[1]+",", ",memory,"):
			base = filepath.Join(root, "memory")
		default:
			continue
		}
		for dir := filepath.Clean("/" + parts[2]); dir != "/"; dir = filepath.Dir(dir) {
			dirs = append(dirs, filepath.Join(base, dir))
		}
	}
	return dirs
}
