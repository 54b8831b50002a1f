package testkit_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

const child = "WEIR_TESTKIT_VICTIM"

// TestChild runs in the process that the tests below start and kill.
func TestChild(t *testing.T) {
	if os.Getenv(child) == "" {
		return
	}
	cp := testkit.New(t, testkit.WithNodes(1))
	fmt.Printf("directory %s\n", cp.Dir())
	<-t.Context().Done()
}

func TestNothingIsLeftAfterTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			process, dir := startChild(t)
			require.NoError(t, process.Signal(signal))
			testkit.Eventually(t, 20*time.Second, func(context.Context) error {
				if left := processesOf(t, dir); len(left) > 0 {
					return fmt.Errorf("processes are left: %v", left)
				}
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("directory %s is left: %w", dir, err)
				}
				return nil
			})
		})
	}
}

func TestNoProcessIsLeftAfterTheSupervisorIsKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		testkit.Skip(t, "only Linux kills the children of a killed supervisor")
	}
	_, dir := startChild(t)
	for pid, command := range processesOf(t, dir) {
		if strings.HasSuffix(strings.Fields(command)[0], "/supervisor") {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	testkit.Eventually(t, 20*time.Second, func(context.Context) error {
		if left := processesOf(t, dir); len(left) > 0 {
			return fmt.Errorf("processes are left: %v", left)
		}
		return nil
	})
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(dir, old, old))
	testkit.New(t, testkit.WithNodes(0))
	require.NoDirExists(t, dir, "the next start removes the directory")
}

func startChild(t *testing.T) (*os.Process, string) {
	t.Helper()
	testkit.Shared(t) // builds the programs
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if dir, ok := strings.CutPrefix(lines.Text(), "directory "); ok {
			require.GreaterOrEqual(t, len(processesOf(t, dir)), 6, "all components and the supervisor run")
			return cmd.Process, dir
		}
	}
	t.Fatal("the child did not start")
	return nil, ""
}

// processesOf returns the processes whose arguments contain dir.
func processesOf(t *testing.T, dir string) map[int]string {
	t.Helper()
	if runtime.GOOS != "linux" {
		testkit.Skip(t, "needs /proc")
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	found := map[int]string{}
	for _, file := range files {
		command, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(command, []byte(dir)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err)
		found[pid] = string(bytes.ReplaceAll(command, []byte{0}, []byte(" ")))
	}
	return found
}
