package env

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
)

const (
	volumeProvisioner = "volume-provisioner"
	volumeAgent       = "volume-provisioner-agent"
	// nodeNamespace is the namespace of agents.
	nodeNamespace = "weir-node"
)

// StartVolumeProvisioner runs the controller of bin/volume-provisioner under the ServiceAccount of its kustomize base
// and waits until it is ready. basePath is the base path that it allows.
func StartVolumeProvisioner(ctx context.Context, cp *testkit.ControlPlane, root, basePath string,
	args ...string) (*Service, error) {
	account, err := cp.ServiceAccount(ctx, Namespace, volumeProvisioner)
	if err != nil {
		return nil, err
	}
	args = append([]string{
		"controller", "--allowed-base-paths=" + basePath, "--leader-elect", "--lease-namespace=" + Namespace,
	}, args...)
	return startShipped(ctx, cp, root, "deployment.yaml", volumeProvisioner, account, args...)
}

// startShipped starts bin/volume-provisioner with the settings of the Go runtime in a manifest of its kustomize base.
func startShipped(ctx context.Context, cp *testkit.ControlPlane, root, manifest, name string, connection *rest.Config,
	args ...string) (*Service, error) {
	data, err := os.ReadFile(filepath.Join(root, "deploy", volumeProvisioner, manifest))
	if err != nil {
		return nil, err
	}
	var command []string
	for _, match := range goSetting.FindAllSubmatch(data, -1) {
		command = append(command, string(match[1])+"="+string(match[2]))
	}
	if len(command) == 0 {
		return nil, fmt.Errorf("%s sets neither GOMEMLIMIT nor GOGC", manifest)
	}
	command = append(command, filepath.Join(root, "bin", volumeProvisioner))
	return startService(ctx, cp, name, "env", connection, append(command, args...)...)
}

var goSetting = regexp.MustCompile(`- name: (GOMEMLIMIT|GOGC)\n +value: "?(\w+)`)

// StartVolumeAgent runs the agent of a node on a base path of this machine, and waits until it is ready. It has the
// identity of the agent's pod on that node, which includes the name of the node.
func StartVolumeAgent(ctx context.Context, cp *testkit.ControlPlane, root, node, basePath string,
	args ...string) (*Service, error) {
	machineID := filepath.Join(cp.Dir(), "machine-id-"+node)
	if err := os.WriteFile(machineID, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the machine id of %s: %w", node, err)
	}
	connection := cp.RESTConfig()
	connection.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + nodeNamespace + ":" + volumeAgent,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + nodeNamespace, "system:authenticated"},
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {node}},
	}
	args = append([]string{
		"agent", "--node-name=" + node, "--allowed-base-paths=" + basePath, "--machine-id-file=" + machineID,
	}, args...)
	return startShipped(ctx, cp, root, "agent.yaml", volumeAgent+"-"+node, connection, args...)
}
