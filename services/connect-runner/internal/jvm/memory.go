package jvm

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory outside the heap: classes, compiled code, stacks, direct buffers of the Kafka clients and the Go process. It
// is a quarter of the limit, within minReserved and maxReserved.
const (
	mib         = 1 << 20
	minReserved = 192 * mib
	maxReserved = 1024 * mib
	minHeap     = 64 * mib
	// noLimit is above every machine's memory. cgroup v1 writes a larger number for "no limit".
	noLimit = 1 << 50
)

// HeapArgs returns the JVM options for the heap in a container with a memory limit in bytes. Without a limit (0) the
// JVM uses a quarter of the machine's memory. The heap is never smaller than minHeap.
func HeapArgs(limit int64) []string {
	if limit <= 0 {
		return nil
	}
	reserved := min(max(limit/4, minReserved), maxReserved)
	heap := max(limit-reserved, minHeap)
	return []string{"-Xmx" + strconv.FormatInt(heap/mib, 10) + "m"}
}

// MemoryLimit returns the smallest memory limit in bytes of this process's cgroup and its parents; 0 for no limit.
// root is the mount point of the cgroup file system, self is /proc/self/cgroup.
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

// OOMKills returns the number of processes of this cgroup that the kernel's OOM killer has killed; 0 if unknown.
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

// groups returns the directories of this process's cgroup and its parents, in version 2 and in version 1's memory
// hierarchy. In a container the process's own cgroup is usually mounted as the root.
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
