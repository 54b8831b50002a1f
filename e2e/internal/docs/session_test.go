package docs

import (
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
