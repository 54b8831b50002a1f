//go:build linux

package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

// confinedEnv makes the test binary a confined agent. Its value are the numbers of the capabilities, as JSON.
const confinedEnv = "WEIR_TEST_CONFINED"

// capabilities are the numbers of those that the agent may have.
var capabilities = map[string]int{"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3}

// shipped returns the capabilities of the container of the agent, and requires the rest of its security context.
func shipped(t testing.TB) []int {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "deploy", "volume-provisioner", "agent.yaml"))
	require.NoError(t, err)
	set := &appsv1.DaemonSet{}
	require.NoError(t, yaml.UnmarshalStrict(file, set))
	pod, container := set.Spec.Template.Spec, set.Spec.Template.Spec.Containers[0].SecurityContext
	require.Zero(t, *pod.SecurityContext.RunAsUser)
	require.False(t, *container.AllowPrivilegeEscalation)
	require.Equal(t, "[ALL]", fmt.Sprint(container.Capabilities.Drop))
	var numbers []int
	for _, name := range container.Capabilities.Add {
		require.Contains(t, capabilities, string(name))
		numbers = append(numbers, capabilities[string(name)])
	}
	return numbers
}

// confine drops all capabilities but those in the environment, as a container runtime does, and starts the test binary
// again. It returns in the process that has no others.
func confine() error {
	var keep []int
	if err := json.Unmarshal([]byte(os.Getenv(confinedEnv)), &keep); err != nil {
		return err
	}
	want := uint64(0)
	for _, number := range keep {
		want |= 1 << number
	}
	const again = "WEIR_TEST_CONFINED_AGAIN"
	if os.Getenv(again) != "" {
		if effective, err := effectiveCapabilities(); err != nil || effective != want {
			return errors.Join(fmt.Errorf("the process has capabilities %x, want %x", effective, want), err)
		}
		return nil
	}
	// The bounding set belongs to a thread. The program that is executed by the thread gets it.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	for number := range 64 {
		if slices.Contains(keep, number) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), again+"=1"))
}

func effectiveCapabilities() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(status), "\nCapEff:")
	effective := uint64(0)
	_, err = fmt.Sscanf(line, "%x", &effective)
	return effective, err
}

// work is a request to a confined agent: a number of reconciles with a spec.
type work struct {
	Spec    v1.LocalVolumeNodeSpec
	Allowed []string
	Rounds  int
	// Reset forgets the status of earlier requests.
	Reset bool
}

// serve is a confined agent. It answers each request with its status.
func serve() error {
	if err := confine(); err != nil {
		return err
	}
	requests, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var a *agent
	for {
		var w work
		if err := requests.Decode(&w); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if a == nil || w.Reset {
			a = newAgent("")
		}
		a.node.Spec, a.allowed = w.Spec, w.Allowed
		ended := make(chan struct{}, 1)
		a.host.Changed = func() {
			select {
			case ended <- struct{}{}:
			default:
			}
		}
		for range w.Rounds {
			a.sync(context.Background())
		}
		for deadline := time.After(10 * time.Second); a.running(); {
			select {
			case <-ended:
			case <-deadline:
				return errors.New("an action does not end")
			}
		}
		if err := answers.Encode(a.sync(context.Background())); err != nil {
			return err
		}
	}
}

// running reports whether an action runs in the background.
func (a *agent) running() bool {
	for _, result := range a.host.Jobs() {
		if result.Running {
			return true
		}
	}
	return false
}

// confined is an agent process with the shipped capabilities.
type confined struct {
	requests *json.Encoder
	answers  *json.Decoder
	stderr   *strings.Builder
}

// startConfined starts a confined agent until the end of the test.
func startConfined(t testing.TB) *confined {
	t.Helper()
	numbers, err := json.Marshal(shipped(t))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), "/proc/self/exe")
	command.Env = append(os.Environ(), confinedEnv+"="+string(numbers))
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	c := &confined{json.NewEncoder(stdin), json.NewDecoder(stdout), &strings.Builder{}}
	command.Stderr = c.stderr
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	return c
}

// do sends a request and returns the status.
func (c *confined) do(t testing.TB, w work) v1.LocalVolumeNodeStatus {
	t.Helper()
	require.NoError(t, c.requests.Encode(w))
	var status v1.LocalVolumeNodeStatus
	if err := c.answers.Decode(&status); err != nil {
		t.Fatalf("the agent has ended: %v\n%s", err, c.stderr)
	}
	return status
}

func TestConfinedAgentHasTheShippedCapabilities(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	c := startConfined(t)
	spec := newAgent(base).add("one").node.Spec
	status := c.do(t, work{Spec: spec, Allowed: []string{base}, Rounds: 1})
	require.Equal(t, "1/1", status.Ready, "%+v", status)
	requireMarker(t, filepath.Join(base, "one"), "kafka/one")
}
