package docs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSessionKeepsVariablesAndDirectory(t *testing.T) {
	t.Parallel()
	s := Session{Root: t.TempDir(), Dir: t.TempDir(), Env: []string{"GIVEN=given"}}
	require.NoError(t, s.Run(t.Context(), Block{Script: "export KEPT=\"$GIVEN and kept\"\nmkdir -p sub\ncd sub"}))
	require.NoError(t, s.Run(t.Context(), Block{
		Script: "echo $KEPT; basename $PWD", Output: "given and kept\nsub", HasOutput: true,
	}))
}

func TestSessionFailsAtTheFirstFailedCommand(t *testing.T) {
	t.Parallel()
	s := Session{Root: t.TempDir(), Dir: t.TempDir()}
	require.ErrorContains(
		t,
		s.Run(t.Context(), Block{File: "a.md", Line: 3, Script: "false\ntrue"}),
		"a.md:3: exit status 1",
	)
	require.Error(t, s.Run(t.Context(), Block{Script: "false | true"}))
}

func TestTimeLimitKillsTheChildrenOfTheShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Session{Root: dir, Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx, Block{Script: "sleep 1000 & echo $! >pid.new\nmv pid.new pid\nwait"}) }()
	var pid int
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil && pid > 0
	}, time.Minute, 10*time.Millisecond)
	cancel()
	require.Error(t, <-result)
	// The killed child may be a zombie until init reaps it.
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, time.Minute, 10*time.Millisecond)
}

func TestWaitRepeatsTheBlockUntilTheOutputMatches(t *testing.T) {
	t.Parallel()
	s := Session{Root: t.TempDir(), Dir: t.TempDir()}
	block := Block{Script: "echo >>tries; wc -l <tries", Output: "2", HasOutput: true}
	require.ErrorContains(t, s.Run(t.Context(), block), `line "2" is missing`)
	block.Output, block.Wait = "3", time.Minute
	require.NoError(t, s.Run(t.Context(), block))
}

func TestMatchesIgnoresSpacesDurationsAndEllipses(t *testing.T) {
	t.Parallel()
	require.NoError(t, matches("NAME   AGE\ntest   24s\n", "NAME      AGE\ntest      5m3s\n"))
	require.NoError(t, matches("pod/…  created", "pod/test-x7f created\n"))
	require.NoError(t, matches("first\n…\nlast", "first\nsecond\nthird\nlast\n"))
	require.NoError(t, matches("first\n…", "first\nsecond\n"))
	require.ErrorContains(t, matches("Running 2/2", "Running 1/2"), `line "Running 2/2" is missing`)
	require.ErrorContains(t, matches("first", "first\nsecond"), `line "second" is not documented`)
	require.ErrorContains(t, matches("first\nlast", "first\nsecond\nlast"), `line "last" is missing`)
	require.Error(t, matches("24s", "soon"))
}
