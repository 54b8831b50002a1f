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

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
)

// readyTimeout is long enough for a busy machine.
const readyTimeout = time.Minute

// Service is a running process of a service.
type Service struct {
	*Process
	// Kubeconfig is the path of its kubeconfig.
	Kubeconfig string
	address    string
}

// StartConnectScheduler runs bin/connect-scheduler under the ServiceAccount of its kustomize base, with exactly the
// RBAC rules of that base, and waits until it is ready.
func StartConnectScheduler(ctx context.Context, cp *testkit.ControlPlane, root string,
	args ...string) (*Service, error) {
	const name = "connect-scheduler"
	account, err := cp.ServiceAccount(ctx, Namespace, name)
	if err != nil {
		return nil, err
	}
	args = append([]string{"--leader-elect", "--lease-namespace=" + Namespace}, args...)
	return startService(ctx, cp, name, filepath.Join(root, "bin", name), account, args...)
}

// startService runs a program with a connection and waits until it is ready. name is unique among the services of a
// control plane.
func startService(ctx context.Context, cp *testkit.ControlPlane, name, program string, connection *rest.Config,
	args ...string) (*Service, error) {
	s := &Service{Kubeconfig: filepath.Join(cp.Dir(), name+".kubeconfig")}
	if err := WriteKubeconfig(s.Kubeconfig, connection); err != nil {
		return nil, err
	}
	args = append(args, "--kubeconfig="+s.Kubeconfig, "--metrics-address=127.0.0.1:0")
	var err error
	if s.Process, err = start(cp.Dir(), name, program, args...); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := testkit.Poll(ctx, name+" to be ready", s.ready); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Service) ready(ctx context.Context) error {
	if err := s.Err(); err != nil {
		return testkit.Permanent(err)
	}
	if s.address == "" {
		if s.address = s.logged("serving metrics and health"); s.address == "" {
			return errors.New("it does not listen yet")
		}
	}
	body, err := get(ctx, s.address, "/readyz")
	if err != nil {
		return err
	}
	return body.Close()
}

// logged returns the address that the service has logged with a message, because it picks a free port.
func (s *Service) logged(message string) string {
	for line := range strings.Lines(s.Tail(1000)) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == message {
			return entry.Address
		}
	}
	return ""
}

func get(ctx context.Context, address, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("get %s: %s", path, response.Status)
	}
	return response.Body, nil
}

// StartFakeRunner runs bin/fake-runner, which publishes task configs for the simulated pods in place of
// connect-runner.
func StartFakeRunner(cp *testkit.ControlPlane, root string, args ...string) (*Process, error) {
	args = append([]string{"--kubeconfig=" + cp.Kubeconfig()}, args...)
	return start(cp.Dir(), "fake-runner", filepath.Join(root, "bin", "fake-runner"), args...)
}
