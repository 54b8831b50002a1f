// Package cluster is a kind cluster of one control plane and three workers, made for the suites and gone with them.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/kind/pkg/cmd"
)

// Shared is the directory of the host that every node has, at the same path.
const Shared = "/var/weir-shared"

const workers = 3

// Cluster is a kind cluster.
type Cluster struct {
	Name string
	// Dir holds its kubeconfig and the shared directory.
	Dir string
	// Used is set for a cluster that was kept: what runs there is of images that may since have been built anew.
	Used bool

	keep     bool
	out      io.Writer
	provider *cluster.Provider
}

// New describes a cluster that is not there yet; with keep it stays, and one that was kept is used again.
func New(name, dir string, keep bool, out io.Writer) *Cluster {
	return &Cluster{Name: name, Dir: dir, keep: keep, out: out,
		provider: cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(cmd.NewLogger()))}
}

// Kubeconfig is the path of an administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.Dir, "kubeconfig") }

// Create makes the cluster of an image, and waits until its nodes are ready; one that was kept is used as it is.
func (c *Cluster) Create(ctx context.Context, image string) error {
	names, err := c.provider.List()
	if err != nil {
		return fmt.Errorf("list kind clusters: %w", err)
	}
	shared := filepath.Join(c.Dir, "shared")
	if err := os.MkdirAll(shared, 0o777); err != nil {
		return err
	}
	// Whoever the pods run as, they may write there.
	if err := os.Chmod(shared, 0o1777); err != nil { //nolint:gosec // a directory for tests
		return err
	}
	if slices.Contains(names, c.Name) {
		fmt.Fprintf(c.out, "using the kept cluster %s\n", c.Name)
		c.Used = true
		return c.provider.ExportKubeConfig(c.Name, c.Kubeconfig(), false)
	}
	config, err := configuration(ctx, shared)
	if err != nil {
		return err
	}
	err = c.provider.Create(c.Name, cluster.CreateWithV1Alpha4Config(config), cluster.CreateWithNodeImage(image),
		cluster.CreateWithKubeconfigPath(c.Kubeconfig()), cluster.CreateWithWaitForReady(5*time.Minute),
		cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false), cluster.CreateWithRetain(true))
	if err != nil {
		return explain(err)
	}
	return nil
}

func configuration(ctx context.Context, shared string) (*v1alpha4.Cluster, error) {
	version, err := docker(ctx, "info", "--format", "{{.CgroupVersion}}")
	if err != nil {
		return nil, err
	}
	config := &v1alpha4.Cluster{TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"}}
	if version == "1" {
		// The kubelet refuses version 1 by itself since Kubernetes 1.35.
		config.KubeadmConfigPatches = []string{"kind: KubeletConfiguration\nfailCgroupV1: false\n"}
	}
	mount := v1alpha4.Mount{HostPath: shared, ContainerPath: Shared}
	config.Nodes = []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole, ExtraMounts: []v1alpha4.Mount{mount}}}
	for range workers {
		config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, ExtraMounts: []v1alpha4.Mount{mount}})
	}
	v1alpha4.SetDefaultsCluster(config)
	return config, nil
}

// explain adds what to do to errors that are known.
func explain(err error) error {
	text := err.Error()
	for words, advice := range map[string]string{
		"port is already allocated":   "another program listens on a port that the cluster needs: stop it, or try again, as the port is chosen anew",
		"address already in use":      "another program listens on a port that the cluster needs: stop it, or try again, as the port is chosen anew",
		"no space left on device":     "docker system prune makes room",
		"Multi-User System":           "the node's systemd does not start: Docker needs cgroups that it may write to; docker logs of the node says more",
		"CAP_SYS_RESOURCE":            "the daemon lacks a capability: stop it and let scripts/images/docker up start one that does without",
		"could not find a log line":   "the node's systemd does not start: Docker needs cgroups that it may write to; docker logs of the node says more",
		"failed to create network":    "Docker may not make networks: it needs iptables and NET_ADMIN",
		"could not find an available": "Docker has no address range left for a network: docker network prune",
	} {
		if strings.Contains(text, words) {
			return fmt.Errorf("create the cluster: %w (%s)", err, advice)
		}
	}
	return fmt.Errorf("create the cluster: %w", err)
}

// Delete removes the cluster and what it left on the host, unless it is to be kept.
func (c *Cluster) Delete() error {
	if c.keep {
		fmt.Fprintf(c.out, "cluster %s stays: export KUBECONFIG=%s; make e2e-clean deletes it\n", c.Name, c.Kubeconfig())
		return nil
	}
	return errors.Join(c.provider.Delete(c.Name, c.Kubeconfig()), os.RemoveAll(c.Dir))
}

// SharedDir makes a directory of the host that all nodes have and everybody may write; what it returns is its path in the nodes.
func (c *Cluster) SharedDir(name string) (string, error) {
	dir := filepath.Join(c.Dir, "shared", name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o777)); err != nil {
		return "", err
	}
	return path.Join(Shared, name), os.Chmod(dir, 0o1777) //nolint:gosec // whoever the pods run as, they may write there
}

// Logs collects what the nodes have logged; what cannot be had is left out.
func (c *Cluster) Logs(dir string) { _ = c.provider.CollectLogs(c.Name, dir) }

// Load brings images of the host's Docker to the workers, all at once so that layers they share go once.
func (c *Cluster) Load(ctx context.Context, images ...string) error {
	archive := filepath.Join(c.Dir, "images.tar")
	defer os.Remove(archive)
	if _, err := docker(ctx, append([]string{"save", "-o", archive}, images...)...); err != nil {
		return err
	}
	all, err := c.provider.ListInternalNodes(c.Name)
	if err != nil {
		return err
	}
	group, _ := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, node := range all {
		group.Go(func() error { return load(node, archive) })
	}
	return group.Wait()
}

func load(node nodes.Node, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := nodeutils.LoadImageArchive(node, file); err != nil {
		return fmt.Errorf("load images into %s: %w", node, err)
	}
	return nil
}

// Stop ends a node as a loss of power would.
func (c *Cluster) Stop(ctx context.Context, node string) error {
	_, err := docker(ctx, "kill", node)
	return err
}

// Start starts a node that was stopped.
func (c *Cluster) Start(ctx context.Context, node string) error {
	_, err := docker(ctx, "start", node)
	return err
}
