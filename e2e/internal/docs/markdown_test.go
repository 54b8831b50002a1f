package docs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestParseReturnsAnnotatedBlocksWithTheirOutput(t *testing.T) {
	t.Parallel()
	blocks, problems := parse("README.md", "text\n"+
		"```sh run=embedded wait=30s\nkubectl get pods\n```\nwhich prints\n```text output\nNAME\n```\n"+
		"```yaml\nkind: Pod\n```\n"+
		"1. item\n   ```sh run=ci\n   make test\n   ```\n")
	require.Empty(t, problems)
	require.Equal(t, []Block{
		{
			File:      "README.md",
			Line:      2,
			Run:       Embedded,
			Wait:      30 * time.Second,
			Script:    "kubectl get pods",
			Output:    "NAME",
			HasOutput: true,
		},
		{File: "README.md", Line: 13, Run: CI, Script: "make test"},
	}, blocks)
}

func TestParseReportsCommandsThatNoTestExecutes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"```sh\nmake test\n```":               "run= is missing",
		"```bash run=later\nmake test\n```":   "run=later: must be one of",
		"```console wait=x run=ci\nmake\n```": "wait=x: must be a duration",
		"```sh skip\nmake test\n```":          `unknown annotation "skip"`,
		"```\nkubectl get pods\n```":          "contains a command",
		"```text\n$ ls\n```":                  "contains a command",
		"```text output\nNAME\n```":           "must follow a command block",
		"```sh run=local\nls\n```\n```text output\na\n```\n```text output\nb\n```": "must follow a command block",
		"```sh run=ci\nmake test\n```\n```text output\nok\n```":                    "no test checks the output",
		"~~~shell\nmake test\n~~~":                                                 "run= is missing",
		"````sh\n```\nnot the end\n```\nmake x\n````":                              "run= is missing",
	} {
		_, problems := parse("a.md", text)
		if assert.Len(t, problems, 1, text) {
			assert.Regexp(t, `^a\.md:[147]: `, problems[0], text)
			assert.Contains(t, problems[0], want, text)
		}
	}
}

func TestCommandsHaveNoCommentsAndJoinContinuations(t *testing.T) {
	t.Parallel()
	b := Block{Script: "# first\nmake test   # slow\n\nkubectl get \\\n  pods"}
	require.Equal(t, []string{"make test", "kubectl get pods"}, b.Commands())
}
