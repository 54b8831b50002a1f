package env

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Say tells what is under way, on stderr: apart from the results.
func Say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// Wait looks on for a while.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Memory is VmRSS and VmHWM of a process in MiB; 0 where there is no /proc.
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
