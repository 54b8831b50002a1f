package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// serverLabel is the label of the containers that belong to a cluster and are not nodes of it.
const serverLabel = "dev.weir.e2e.cluster"

// masquerade needs the addresses of pods.
const masquerade = `set -eu
set -- POSTROUTING -s "$1" ! -d "$1" -j MASQUERADE
iptables -w -t nat -C "$@" 2>/dev/null || iptables -w -t nat -A "$@"`

// ConnectServers lets pods connect to servers, which have no routes to pods: their connections get the address of their
// node. kind's own network plugin does this; the one of e2e/node-image connects only pods and nodes.
func (c *Cluster) ConnectServers(ctx context.Context) error {
	config := &v1alpha4.Cluster{}
	v1alpha4.SetDefaultsCluster(config)
	nodes, err := c.provider.ListInternalNodes(c.Name)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		_, err := c.Exec(ctx, node.String(), "sh", "-c", masquerade, "masquerade", config.Networking.PodSubnet)
		if err != nil {
			return err
		}
	}
	return nil
}

// StartServer runs a privileged container on the network of the nodes, outside of Kubernetes. Nodes and pods resolve
// its name. A server of an earlier run is replaced.
func (c *Cluster) StartServer(ctx context.Context, name, image string) error {
	nodes, err := c.provider.ListNodes(c.Name)
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return fmt.Errorf("cluster %s has no nodes", c.Name)
	}
	network, err := docker(ctx, "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}",
		nodes[0].String())
	if err != nil {
		return err
	}
	container := c.server(name)
	_, _ = docker(ctx, "rm", "--force", "--volumes", container)
	_, err = docker(ctx, "run", "--detach", "--privileged", "--name", container, "--hostname", name,
		"--network", network, "--network-alias", name, "--label", serverLabel+"="+c.Name, image)
	return err
}

func (c *Cluster) server(name string) string { return c.Name + "-" + name }

// ExecServer runs a command on a server and returns its standard output.
func (c *Cluster) ExecServer(ctx context.Context, name string, command ...string) (string, error) {
	return c.Exec(ctx, c.server(name), command...)
}

// daemon needs a file for the process id and a command.
const daemon = `pid=$1
shift
while :; do
  "$@" >/proc/1/fd/1 2>&1 &
  echo $! >"$pid"
  wait
  sleep 1
done`

// StartDaemon runs a program on a server, and again when it has ended, as systemd does. Its process id is in a file.
func (c *Cluster) StartDaemon(ctx context.Context, name, pidFile string, command ...string) error {
	args := append([]string{"exec", "--detach", c.server(name), "sh", "-c", daemon, "daemon", pidFile}, command...)
	_, err := docker(ctx, args...)
	return err
}

// StopServer kills a server, as a power failure does.
func (c *Cluster) StopServer(ctx context.Context, name string) error {
	return c.Stop(ctx, c.server(name))
}

// RestartServer starts a stopped server.
func (c *Cluster) RestartServer(ctx context.Context, name string) error {
	return c.Start(ctx, c.server(name))
}

// ServerLogs returns the output of a server.
func (c *Cluster) ServerLogs(ctx context.Context, name string) (string, error) {
	return docker(ctx, "logs", "--tail=200", c.server(name))
}

// deleteServers removes the servers of the cluster and their data.
func (c *Cluster) deleteServers() error {
	ctx := context.Background()
	out, err := docker(ctx, "ps", "--all", "--quiet", "--filter", "label="+serverLabel+"="+c.Name)
	for id := range strings.FieldsSeq(out) {
		_, removed := docker(ctx, "rm", "--force", "--volumes", id)
		err = errors.Join(err, removed)
	}
	return err
}
