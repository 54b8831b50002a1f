package docs

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// small makes documented commands short enough for a test.
var small = []string{
	"DEMO_EXIT=1", "NO_COLOR=1", "PAGER=cat",
	// The commands run as a user runs them, not as CI.
	"CI=",
}

// TestEveryDocumentedCommandIsExecuted fails for a command block that has no executor. The other tests here, suite
// smoke and .ci/run are the executors.
func TestEveryDocumentedCommandIsExecuted(t *testing.T) {
	t.Parallel()
	blocks, err := Blocks(repository(t))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
}

func TestDocumentedCommandsOnTheEmbeddedControlPlane(t *testing.T) {
	t.Parallel()
	testkit.NeedsControlPlane(t)
	root := repository(t)
	for file, blocks := range byFile(t, root, Embedded) {
		t.Run(file, func(t *testing.T) {
			cp := testkit.New(t)
			set, err := binaries.Ensure(t.Context(), os.Stderr)
			require.NoError(t, err)
			path := filepath.Dir(set.Path(binaries.Kubectl)) + string(os.PathListSeparator) + os.Getenv("PATH")
			s := Session{
				Root: root,
				Dir:  t.TempDir(),
				Env:  append(slices.Clone(small), "PATH="+path, "KUBECONFIG="+cp.Kubeconfig()),
			}
			started := false
			for _, block := range blocks {
				t.Log(block.Position())
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				require.NoError(t, s.Run(ctx, block))
				cancel()
				started = started || startServices(t, cp, root)
			}
		})
	}
}

// startServices runs connect-scheduler and a fake connect-runner as soon as connect-scheduler is installed:
// simulated nodes do not run containers.
func startServices(t *testing.T, cp *testkit.ControlPlane, root string) bool {
	t.Helper()
	const service = "connect-scheduler"
	_, err := cp.Client().CoreV1().ServiceAccounts(env.Namespace).Get(t.Context(), service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	require.NoError(t, err)
	require.NoError(t, env.Build(t.Context(), root, service))
	scheduler, err := env.StartConnectScheduler(t.Context(), cp, root)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, scheduler.Stop()) })
	runner, err := env.StartFakeRunner(cp, root)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, runner.Stop()) })
	return true
}

func TestDocumentedCommandsWithoutACluster(t *testing.T) {
	t.Parallel()
	testkit.NeedsControlPlane(t)
	root := repository(t)
	for file, blocks := range byFile(t, root, Local) {
		t.Run(file, func(t *testing.T) {
			s := Session{Root: root, Dir: t.TempDir(), Env: small}
			for _, block := range blocks {
				t.Log(block.Position())
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				require.NoError(t, s.Run(ctx, block))
				cancel()
			}
		})
	}
}

// assignment matches a variable that limits a command to a part of what CI runs, or that keeps the cluster.
var assignment = regexp.MustCompile(` (SERVICE|E2E_KEEP)=\S+`)

// included maps commands to the command in .ci/run that does the same and more.
var included = map[string]string{
	"make generate":  "make verify",
	"make test-unit": "make test",
}

func TestCIRunsTheDocumentedCommandsThatTakeLong(t *testing.T) {
	t.Parallel()
	root := repository(t)
	script, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	require.NoError(t, err)
	commands := ciCommands(string(script))
	for _, blocks := range byFile(t, root, CI) {
		for _, block := range blocks {
			for _, command := range block.Commands() {
				command = assignment.ReplaceAllString(command, "")
				command = cmp.Or(included[command], command)
				assert.Contains(t, commands, command, "%s: .ci/run does not run this command", block.Position())
			}
		}
	}
}

// section matches a command in .ci/run; retry runs a command once more after a failure.
var section = regexp.MustCompile(`(?m)^section '[^']*' (?:scripts/retry \S+ )?(.*)$`)

func ciCommands(script string) []string {
	var commands []string
	for _, match := range section.FindAllStringSubmatch(script, -1) {
		commands = append(commands, strings.Replace(match[1], "make -k ", "make ", 1))
	}
	return commands
}

// longRunning matches the make targets that run=dry-run is for.
var longRunning = regexp.MustCompile(`^make ((?:bench|bench-scale|fuzz|dev)(?: .*)?)$`)

func TestDocumentedTargetsThatMeasureOrDoNotEndExist(t *testing.T) {
	t.Parallel()
	root := repository(t)
	for _, blocks := range byFile(t, root, DryRun) {
		for _, block := range blocks {
			for _, command := range block.Commands() {
				target := longRunning.FindStringSubmatch(command)
				require.NotNil(
					t,
					target,
					"%s: %s: run=dry-run is for make bench, make fuzz and make dev",
					block.Position(),
					command,
				)
				s := Session{Root: root, Dir: t.TempDir(), Env: small}
				block.Script = "make -n " + target[1] + " >/dev/null"
				require.NoError(t, s.Run(t.Context(), block))
			}
		}
	}
}

func TestCICommandsOfTheScript(t *testing.T) {
	t.Parallel()
	commands := ciCommands("go version\nsection 'a' make verify\nsection 'b c' scripts/retry \"$flaky\" make -k test\n")
	require.Equal(t, []string{"make verify", "make test"}, commands)
}

// byFile returns the blocks of an executor by file. Blocks without an annotation are another test's failure.
func byFile(t *testing.T, root string, run Executor) map[string][]Block {
	t.Helper()
	blocks, _ := Blocks(root)
	files := map[string][]Block{}
	for _, block := range blocks {
		if block.Run == run {
			files[block.File] = append(files[block.File], block)
		}
	}
	return files
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := env.Root()
	require.NoError(t, err)
	return root
}
