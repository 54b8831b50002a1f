//go:build linux

package directory_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	decide "github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/directory"
)

// childEnv makes the test binary run a child of a test instead of the tests.
const childEnv = "WEIR_TEST_CHILD"

func TestMain(m *testing.M) {
	if base := os.Getenv(childEnv); base != "" {
		child(base)
		return
	}
	if os.Getenv(confinedEnv) != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	disk.Main(m)
}

const machine = "0123456789abcdef0123456789abcdef"

// agent keeps the LocalVolumeNode of an agent without an API server.
type agent struct {
	host *directory.Host
	node *v1.LocalVolumeNode
	now  func() time.Time
	// allowed are the allowed base paths.
	allowed []string
}

func newAgent(base string) *agent {
	return &agent{
		host: &directory.Host{Timeout: 10 * time.Second, Now: time.Now},
		node: &v1.LocalVolumeNode{
			ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Spec: v1.LocalVolumeNodeSpec{BasePaths: []string{base}},
		},
		now: time.Now, allowed: []string{base},
	}
}

// add adds a directory to the spec.
func (a *agent) add(path string, changes ...func(*v1.DirectorySpec)) *agent {
	d := v1.DirectorySpec{
		ID: "kafka/" + path, BasePath: a.node.Spec.BasePaths[0], Path: path, SetName: "kafka", SetUID: "set-uid",
		Create: true, UID: 1001, GID: 1002, Mode: "2770",
	}
	for _, change := range changes {
		change(&d)
	}
	a.node.Spec.Directories = append(a.node.Spec.Directories, d)
	return a
}

// sync is one reconcile of the agent.
func (a *agent) sync(ctx context.Context) v1.LocalVolumeNodeStatus {
	plan := a.host.Sync(ctx, decide.State{
		Node: a.node, MachineID: machine, AllowedBasePaths: a.allowed, Now: a.now(), Results: a.host.Jobs(),
	})
	a.node.Status = plan.Status
	return plan.Status
}

// ready requires that all directories are ready.
func (a *agent) ready(t *testing.T) {
	t.Helper()
	for _, d := range a.sync(t.Context()).Directories {
		require.Equal(t, v1.DirectoryReady, d.State, d.Message)
	}
}

func (a *agent) requireState(t *testing.T, file v1.FileSystemState, dir v1.DirectoryState) v1.LocalVolumeNodeStatus {
	t.Helper()
	s := a.sync(t.Context())
	require.Equal(t, file, s.FileSystems[0].State, s.FileSystems[0].Message)
	for _, d := range s.Directories {
		require.Equal(t, dir, d.State, d.Message)
	}
	return s
}

// child creates directories until it is killed.
func child(base string) {
	a := newAgent(base)
	for i := range childDirectories {
		a.add(fmt.Sprintf("ns/claim-%d", i))
	}
	for range 3 {
		a.sync(context.Background())
	}
	for _, d := range a.node.Status.Directories {
		if d.State != v1.DirectoryReady {
			fmt.Println(d.ID, d.State, d.Message)
		}
	}
	fmt.Println(a.node.Status.Ready)
}

const childDirectories = 12
