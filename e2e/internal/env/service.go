package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-dev/weir/pkg/testkit"
)

// readyTimeout is generous: it is for machines that are busy with something else.
const readyTimeout = time.Minute

// ConnectScheduler is the service of that name at work.
type ConnectScheduler struct {
	*Process
	// Kubeconfig is the path of the file it connects by.
	Kubeconfig string
	address    string
}

// StartConnectScheduler runs bin/connect-scheduler as its Deployment does, by the ServiceAccount of its kustomize base and so
// with no other rights, and waits until it is ready.
func StartConnectScheduler(ctx context.Context, cp *testkit.ControlPlane, root string, args ...string) (*ConnectScheduler, error) {
	const name = "connect-scheduler"
	account, err := cp.ServiceAccount(ctx, Namespace, name)
	if err != nil {
		return nil, err
	}
	s := &ConnectScheduler{Kubeconfig: filepath.Join(cp.Dir(), name+".kubeconfig")}
	if err := writeKubeconfig(s.Kubeconfig, account); err != nil {
		return nil, err
	}
	args = append([]string{"--kubeconfig=" + s.Kubeconfig, "--metrics-address=127.0.0.1:0", "--leader-elect", "--lease-namespace=" + Namespace}, args...)
	if s.Process, err = start(cp.Dir(), filepath.Join(root, "bin", name), args...); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := testkit.Poll(ctx, name+" to be ready", s.ready); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *ConnectScheduler) ready(ctx context.Context) error {
	if err := s.Fault(); err != nil {
		return testkit.Permanent(err)
	}
	if s.address == "" {
		if s.address = s.served(); s.address == "" {
			return errors.New("it does not serve yet")
		}
	}
	body, err := get(ctx, s.address, "/readyz")
	if err != nil {
		return err
	}
	return body.Close()
}

// served finds in the log which free port the service has taken.
func (s *ConnectScheduler) served() string {
	for line := range strings.Lines(s.Tail(1000)) {
		var said struct{ Address string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Address != "" {
			return said.Address
		}
	}
	return ""
}

func get(ctx context.Context, address, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("get %s: %s", path, answer.Status)
	}
	return answer.Body, nil
}

// StartFakeRunner runs bin/fake-runner, which plays connect-runner's part in the simulated pods.
func StartFakeRunner(cp *testkit.ControlPlane, root string, args ...string) (*Process, error) {
	return start(cp.Dir(), filepath.Join(root, "bin", "fake-runner"), append([]string{"--kubeconfig=" + cp.Kubeconfig()}, args...)...)
}
