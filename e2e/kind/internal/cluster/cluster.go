// Package cluster creates a kind cluster with one control plane node and three workers, and deletes it after the
// suites.
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

// Shared is the path in every node of a directory of the host that all nodes share.
const Shared = "/var/weir-shared"

const workers = 3

// Cluster is a kind cluster.
type Cluster struct {
	Name string
	// Dir contains the kubeconfig and the shared directory.
	Dir string
	// Reused is set for a cluster kept from an earlier run. Its pods may run older images.
	Reused bool

	keep     bool
	out      io.Writer
	provider *cluster.Provider
}

// New returns a cluster that does not exist yet. With keep, Create reuses an existing cluster and Delete does
// nothing.
func New(name, dir string, keep bool, out io.Writer) *Cluster {
	return &Cluster{Name: name, Dir: dir, keep: keep, out: out,
		provider: cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(cmd.NewLogger()))}
}

// Kubeconfig returns the path of a cluster-admin kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.Dir, "kubeconfig") }

// Create creates the cluster from a node image and waits until its nodes are Ready. It uses a kept cluster unchanged.
func (c *Cluster) Create(ctx context.Context, image string) error {
	names, err := c.provider.List()
	if err != nil {
		return fmt.Errorf("list kind clusters: %w", err)
	}
	shared := filepath.Join(c.Dir, "shared")
	if err := os.MkdirAll(shared, 0o777); err != nil {
		return err
	}
	// Pods of any user ID write to this directory.
	if err := os.Chmod(shared, 0o1777); err != nil { //nolint:gosec // test data
		return err
	}
	if slices.Contains(names, c.Name) {
		fmt.Fprintf(c.out, "using the kept cluster %s\n", c.Name)
		c.Reused = true
		return c.provider.ExportKubeConfig(c.Name, c.Kubeconfig(), false)
	}
	config, err := configuration(ctx, shared)
	if err != nil {
		return err
	}
	err = c.provider.Create(
		c.Name,
		cluster.CreateWithV1Alpha4Config(config),
		cluster.CreateWithNodeImage(image),
		cluster.CreateWithKubeconfigPath(c.Kubeconfig()),
		cluster.CreateWithWaitForReady(5*time.Minute),
		cluster.CreateWithDisplayUsage(
			false,
		),
		cluster.CreateWithDisplaySalutation(false),
		cluster.CreateWithRetain(true),
	)
	if err != nil {
		return explain(err)
	}
	return nil
}

// configuration returns the kind configuration: the nodes and their shared directory.
func configuration(ctx context.Context, shared string) (*v1alpha4.Cluster, error) {
	version, err := docker(ctx, "info", "--format", "{{.CgroupVersion}}")
	if err != nil {
		return nil, err
	}
	config := &v1alpha4.Cluster{TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"}}
	if version == "1" {
		// Since Kubernetes 1.35 the kubelet refuses cgroup v1 by default.
		config.KubeadmConfigPatches = []string{"kind: KubeletConfiguration\nfailCgroupV1: false\n"}
	}
	mount := v1alpha4.Mount{HostPath: shared, ContainerPath: Shared}
	config.Nodes = []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole, ExtraMounts: []v1alpha4.Mount{mount}}}
	for range workers {
		config.Nodes = append(
			config.Nodes,
			v1alpha4.Node{Role: v1alpha4.WorkerRole, ExtraMounts: []v1alpha4.Mount{mount}},
		)
	}
	v1alpha4.SetDefaultsCluster(config)
	return config, nil
}

const (
	portInUse = "another program uses a port of the cluster; stop it or try again (the port is random)"
	noSystemd = "systemd does not start in the node; Docker needs writable cgroups; see docker logs of the node"
)

// explain adds advice to known errors of kind.
func explain(err error) error {
	text := err.Error()
	for pattern, advice := range map[string]string{
		"port is already allocated":   portInUse,
		"address already in use":      portInUse,
		"no space left on device":     "free disk space, for example with docker system prune",
		"Multi-User System":           noSystemd,
		"could not find a log line":   noSystemd,
		"CAP_SYS_RESOURCE":            "the Docker daemon lacks it; stop the daemon and run scripts/images/docker up",
		"failed to create network":    "the Docker daemon cannot create networks; it needs iptables and NET_ADMIN",
		"could not find an available": "Docker has no free address range; run docker network prune",
	} {
		if strings.Contains(text, pattern) {
			return fmt.Errorf("create the cluster: %w (%s)", err, advice)
		}
	}
	return fmt.Errorf("create the cluster: %w", err)
}

// Delete deletes the cluster, its servers and its directory on the host. It does nothing if the cluster is kept.
func (c *Cluster) Delete() error {
	if c.keep {
		fmt.Fprintf(
			c.out,
			"keeping cluster %s: export KUBECONFIG=%s; make e2e-clean deletes it\n",
			c.Name,
			c.Kubeconfig(),
		)
		return nil
	}
	return errors.Join(c.deleteServers(), c.provider.Delete(c.Name, c.Kubeconfig()), os.RemoveAll(c.Dir))
}

// SharedDir creates an empty directory that all nodes share and all users can write. It returns the path in the
// nodes.
func (c *Cluster) SharedDir(name string) (string, error) {
	dir := filepath.Join(c.Dir, "shared", name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o777)); err != nil {
		return "", err
	}
	return path.Join(Shared, name), os.Chmod(dir, 0o1777) //nolint:gosec // pods of any user ID write to it
}

// Logs writes the logs of the nodes to a directory. It ignores errors.
func (c *Cluster) Logs(dir string) { _ = c.provider.CollectLogs(c.Name, dir) }

// Load copies images from the host's Docker to the workers in one archive, so that shared layers are copied once.
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

// Exec runs a command in a node and returns its standard output.
func (c *Cluster) Exec(ctx context.Context, node string, command ...string) (string, error) {
	return docker(ctx, append([]string{"exec", node}, command...)...)
}

// mountDisk needs the directory and the size. The nodes see loop devices that the host has created only if they have
// device files for them.
const mountDisk = `set -eu
! mountpoint -q "$1" || exit 0
for i in $(seq 0 63); do [ -e "/dev/loop$i" ] || mknod "/dev/loop$i" b 7 "$i"; done
truncate -s "$2" /var/weir-disk.img
mkfs.ext4 -q -F /var/weir-disk.img
mkdir -p "$1"
mount -o loop /var/weir-disk.img "$1"`

// Disk mounts a new ext4 file system at a directory of a node, unless one is mounted.
func (c *Cluster) Disk(ctx context.Context, node, directory, size string) error {
	_, err := c.Exec(ctx, node, "sh", "-c", mountDisk, "disk", directory, size)
	return err
}

// Stop kills a node, as a power failure does.
func (c *Cluster) Stop(ctx context.Context, node string) error {
	_, err := docker(ctx, "kill", node)
	return err
}

// Start starts a stopped node.
func (c *Cluster) Start(ctx context.Context, node string) error {
	_, err := docker(ctx, "start", node)
	return err
}
