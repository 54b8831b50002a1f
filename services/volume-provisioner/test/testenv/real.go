package testenv

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	volumeprovisioner "github.com/weir-dev/weir/services/volume-provisioner/internal/app"
)

// AgentIdentity returns the connection of the agent in a pod on a node: that of its ServiceAccount, with the name of
// the node that the API server adds to the token of a pod.
func AgentIdentity(cp *testkit.ControlPlane, node string) *rest.Config {
	config := cp.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:weir-node:volume-provisioner-agent",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:weir-node", "system:authenticated"},
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {node}},
	}
	return config
}

// RunAgent runs the real agent of a node on a base path of this machine until ctx ends.
func RunAgent(ctx context.Context, account *rest.Config, node, basePath string) error {
	id := filepath.Join(filepath.Dir(basePath), "machine-id-"+node)
	if err := os.WriteFile(id, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		return err
	}
	flags, options := volumeprovisioner.AgentDefaults(), app.DefaultOptions()
	flags.Node, flags.MachineIDFile, flags.AllowedBasePaths = node, id, []string{basePath}
	flags.Recheck = 2 * time.Second
	options.MetricsAddress = ""
	return app.Run(ctx, volumeprovisioner.AgentSpec(&flags), options, account, slog.New(slog.NewTextHandler(logs(), nil)))
}
