package suites

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	glusterNamespace = "e2e-gluster"
	// glusterStorage is the KadaluStorage in deploy/examples/gluster-bridge, glusterVolume its GlusterFS volume.
	glusterStorage = "ext-storage"
	glusterVolume  = "volume_name"
	glusterClass   = "kadalu.external." + glusterStorage
	glusterDriver  = "gluster.weir.dev"
	// glusterTopology is the label that kubelet writes for the topology of the driver.
	glusterTopology = "topology.gluster.weir.dev/driver"
	glusterClaim    = "shared"
	glusterPods     = "app=shared"
	// glusterService is the label of the pods of the driver.
	glusterService = "app.kubernetes.io/name=gluster-bridge"
)

// glusterNext is an image of gluster-bridge with another build.
const glusterNext = "weir.local/gluster-bridge-next:e2e"

// Next returns another image of a service, to upgrade to. Except for gluster-bridge, it is the same build with another
// tag.
func Next(service string) string {
	if service == "gluster-bridge" {
		return glusterNext
	}
	return "ghcr.io/weir-dev/" + service + ":next"
}

// glusterServers are the names of the GlusterFS servers. The example names the first one.
var glusterServers = []string{"node1", "node2", "node3"}

func (e *environment) gluster(ctx context.Context, r *suite.Results) error {
	if err := e.glusterEarlierRun(ctx, glusterNamespace); err != nil {
		return err
	}
	return steps(ctx, r, []step{
		{"three GlusterFS servers outside of the cluster serve a volume", setupLimit, e.glusterSetUp},
		{
			"kubectl apply -k of deploy/base and deploy/gluster-bridge installs the driver and its sidecars",
			setupLimit,
			e.glusterInstall,
		},
		{"the KadaluStorage External of kadalu works unchanged", stepLimit, e.glusterStorage},
		{"a claim binds, and a file written on one node is read on the others", stepLimit, e.glusterShared},
		{"the scheduler knows the capacity for claims that wait for their first pod", stepLimit, e.glusterLate},
		{"the volume grows while it is mounted", stepLimit, e.glusterGrow},
		{"pods read and write while a server is down, and it is healed", setupLimit, e.glusterServerLost},
		{"writers have no error while the driver is restarted", stepLimit, e.glusterDriverRestart},
		{"writers have no error while the driver is upgraded", stepLimit, e.glusterUpgrade},
		{"kubectl drain skips the clients, and a pod moves to another node with its volume", stepLimit, e.glusterDrain},
		{"running containers work again after their clients are killed", setupLimit, e.glusterClientsKilled},
		{"running containers work again after the upgrade of their clients", setupLimit, e.glusterClientsUpgrade},
		{"connectors share a volume", setupLimit, e.glusterConnectors},
		{"the storage stays until its volumes are deleted, and uninstalling leaves nothing", setupLimit, e.glusterUninstall},
	})
}

// glusterEarlierRun removes the objects of a kept cluster. Its servers are replaced, with their data.
func (e *environment) glusterEarlierRun(ctx context.Context, namespace string) error {
	if !e.cluster.Reused {
		return nil
	}
	_, err := e.Kubectl(ctx, "delete", "namespace", namespace, "--ignore-not-found")
	if err != nil {
		return err
	}
	if err := e.glusterLateDelete(ctx); err != nil {
		return err
	}
	_, err = e.Kubectl(ctx, "delete", "kadalustorage", glusterStorage, "-n", "default", "--ignore-not-found")
	if err != nil && !strings.Contains(err.Error(), "doesn't have a resource type") {
		return err
	}
	return nil
}

func (e *environment) glusterSetUp(ctx context.Context) (string, error) {
	version, err := e.glusterServe(ctx)
	if err != nil {
		return "", err
	}
	return version, e.oneBroker(ctx, glusterNamespace)
}

// glusterServe starts the servers and creates the volume, as the administrator of a Gluster cluster does.
func (e *environment) glusterServe(ctx context.Context) (string, error) {
	if err := e.cluster.ConnectServers(ctx); err != nil {
		return "", err
	}
	for _, name := range glusterServers {
		if err := e.cluster.StartServer(ctx, name, "weir.local/gluster-server:e2e"); err != nil {
			return "", err
		}
	}
	for _, name := range glusterServers {
		// A probe of a server that is still starting may hang.
		if err := e.glusterUntil(ctx, name, "pool", "list"); err != nil {
			return "", err
		}
	}
	// The first server knows its own name only after another server has probed it.
	probes := [][2]string{{"node1", "node2"}, {"node1", "node3"}, {"node2", "node1"}}
	for _, probe := range probes {
		if err := e.glusterUntil(ctx, probe[0], "peer", "probe", probe[1]); err != nil {
			return "", err
		}
	}
	create := []string{"volume", "create", glusterVolume, "replica", "3"}
	for _, name := range glusterServers {
		if err := env.Until(ctx, "the peers of "+name, func(ctx context.Context) error {
			out, err := e.glusterCommand(ctx, name, "peer", "status")
			if n := strings.Count(out, "Peer in Cluster (Connected)"); err == nil && n != len(glusterServers)-1 {
				err = fmt.Errorf("%d peers are connected: %s", n, oneLine(out, 200))
			}
			return err
		}); err != nil {
			return "", err
		}
		create = append(create, name+":"+glusterBrick())
	}
	for _, command := range [][]string{
		create,
		// The default is 42 s, for which clients wait for a server that has lost its power.
		{"volume", "set", glusterVolume, "network.ping-timeout", "5"},
		{"volume", "start", glusterVolume},
	} {
		if _, err := e.glusterCommand(ctx, glusterServers[0], command...); err != nil {
			return "", err
		}
	}
	version, err := e.cluster.ExecServer(ctx, glusterServers[0], "glusterd", "--version")
	if err != nil {
		return "", err
	}
	version, _, _ = strings.Cut(version, "\n")
	return version + ", replica 3", nil
}

func glusterBrick() string { return "/bricks/" + glusterVolume }

// glusterCommand runs a command of the administrator's tool on a server.
func (e *environment) glusterCommand(ctx context.Context, server string, args ...string) (string, error) {
	return e.cluster.ExecServer(ctx, server, append([]string{"timeout", "60", "gluster", "--mode=script"}, args...)...)
}

func (e *environment) glusterUntil(ctx context.Context, server string, args ...string) error {
	return env.Until(ctx, "gluster "+strings.Join(args, " "), func(ctx context.Context) error {
		_, err := e.glusterCommand(ctx, server, args...)
		return err
	})
}

func (e *environment) glusterInstall(ctx context.Context) (string, error) {
	for _, name := range []string{"base", "gluster-bridge"} {
		if _, err := e.Kubectl(ctx, "apply", "-k", "deploy/"+name); err != nil {
			return "", err
		}
	}
	if e.cluster.Reused {
		if err := e.glusterRestart(ctx); err != nil {
			return "", err
		}
	}
	if err := e.glusterRunning(ctx); err != nil {
		return "", err
	}
	// Kubelets ask drivers for their registration after the sockets appear.
	err := env.Until(ctx, "the driver on each node", func(ctx context.Context) error {
		nodes, err := e.Kube.StorageV1().CSINodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if len(node.Spec.Drivers) != 1 || node.Spec.Drivers[0].Name != glusterDriver {
				return fmt.Errorf("node %s has the drivers %v", node.Name, node.Spec.Drivers)
			}
		}
		return nil
	})
	return "controller, provisioner and resizer; on each node a node process and clients", err
}

// glusterRestart replaces the pods of the controller and the node processes. The clients keep running.
func (e *environment) glusterRestart(ctx context.Context) error {
	_, err := e.Kubectl(ctx, "rollout", "restart", "-n", agents, "deployment/gluster-bridge",
		"daemonset/gluster-bridge-node")
	return err
}

// glusterRunning waits until the controller and all node processes run.
func (e *environment) glusterRunning(ctx context.Context) error {
	if err := e.Available(ctx, agents, glusterService); err != nil {
		return err
	}
	if _, err := e.Kubectl(ctx, "rollout", "status", "-n", agents, "daemonset/gluster-bridge-node"); err != nil {
		return err
	}
	// rollout status does not know the update strategy OnDelete.
	return env.Until(ctx, "the clients of each node", func(ctx context.Context) error {
		d, err := e.Kube.AppsV1().DaemonSets(agents).Get(ctx, "gluster-bridge-clients", metav1.GetOptions{})
		if err == nil && (d.Status.DesiredNumberScheduled == 0 || d.Status.NumberReady < d.Status.DesiredNumberScheduled) {
			err = fmt.Errorf("%d of %d are ready", d.Status.NumberReady, d.Status.DesiredNumberScheduled)
		}
		return err
	})
}

// glusterStorage creates the storage of the example, which is the one in kadalu's design document, as it is there.
func (e *environment) glusterStorage(ctx context.Context) (string, error) {
	created := time.Now()
	file := filepath.Join("deploy", "examples", "gluster-bridge", "storage-config.yaml")
	if _, err := e.Kubectl(ctx, "create", "-n", "default", "-f", file); err != nil {
		return "", err
	}
	if err := env.Until(ctx, "the KadaluStorage", func(ctx context.Context) error {
		ks, err := e.Weir.KadaluV1alpha1().KadaluStorages("default").Get(ctx, glusterStorage, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(ks.Status.Conditions, "Ready")
		if ready == nil || ready.Status != metav1.ConditionTrue {
			return fmt.Errorf("the storage is not Ready: %+v", ready)
		}
		_, err = e.Kube.StorageV1().StorageClasses().Get(ctx, glusterClass, metav1.GetOptions{})
		return err
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("StorageClass %s %.1f s after kubectl create", glusterClass, time.Since(created).Seconds()), nil
}

// glusterShared creates a claim and a pod on each worker that mounts it.
func (e *environment) glusterShared(ctx context.Context) (string, error) {
	if err := e.ApplyFile(ctx, glusterNamespace, "gluster.yaml", "CLASS", glusterClass); err != nil {
		return "", err
	}
	for _, workload := range []string{"daemonset/shared", "deployment/moving"} {
		if _, err := e.Kubectl(ctx, "rollout", "status", "-n", glusterNamespace, workload); err != nil {
			return "", err
		}
	}
	result, failed, err := e.glusterWriteAndRead(ctx, "first")
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d writes failed", failed)
	}
	return result, err
}

// glusterWriteAndRead writes a file in each pod, and reads all files in all pods. A failed write is repeated; failed is
// the number of failed ones.
func (e *environment) glusterWriteAndRead(ctx context.Context, round string) (result string, failed int, err error) {
	pods, err := e.Pods(ctx, glusterNamespace, glusterPods)
	if err != nil {
		return "", 0, err
	}
	file := func(writer string) string { return "/mnt/shared/" + round + "-" + writer }
	var nodes []string
	for name, pod := range pods {
		out, err := e.glusterShell(ctx, name, "n=0; until echo "+name+" >"+file(name)+
			"; do n=$((n + 1)); [ $n -lt 30 ] || exit 1; sleep 1; done; echo $n")
		if err != nil {
			return "", failed, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			return "", failed, fmt.Errorf("the shell in %s printed %q", name, out)
		}
		failed += n
		nodes = append(nodes, pod.Spec.NodeName)
	}
	slices.Sort(nodes)
	if nodes = slices.Compact(nodes); len(nodes) < 2 {
		return "", failed, fmt.Errorf("the pods are on %v, want several nodes", nodes)
	}
	for reader := range pods {
		for writer := range pods {
			out, err := e.glusterShell(ctx, reader, "cat "+file(writer))
			if err != nil || strings.TrimSpace(out) != writer {
				return "", failed, errors.Join(fmt.Errorf("%s reads %q from the file of %s", reader, out, writer), err)
			}
		}
	}
	return fmt.Sprintf("%d pods on %d nodes read the files of all", len(pods), len(nodes)), failed, nil
}

func (e *environment) glusterShell(ctx context.Context, pod, command string) (string, error) {
	return e.Kubectl(ctx, "exec", "-n", glusterNamespace, pod, "--", "timeout", "60", "sh", "-c", command)
}

// glusterGrow expands the claim, which external-resizer passes to the driver.
func (e *environment) glusterGrow(ctx context.Context) (string, error) {
	const patch = `{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`
	_, err := e.Kubectl(ctx, "patch", "pvc", glusterClaim, "-n", glusterNamespace, "--type=merge", "-p", patch)
	if err != nil {
		return "", err
	}
	err = env.Until(ctx, "the new size", func(ctx context.Context) error {
		claim, err := e.Kube.CoreV1().PersistentVolumeClaims(glusterNamespace).Get(ctx, glusterClaim, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if size := claim.Status.Capacity.Storage(); size.Cmp(resource.MustParse("2Gi")) != 0 {
			return fmt.Errorf("the claim has %s", size)
		}
		return nil
	})
	return "1Gi to 2Gi", err
}

// glusterDirectories returns the directories of volumes on the brick of a server.
func (e *environment) glusterDirectories(ctx context.Context, server string) ([]string, error) {
	out, err := e.cluster.ExecServer(ctx, server, "sh", "-c",
		"cd "+glusterBrick()+" && { [ ! -d subvol ] || find subvol -mindepth 3 -maxdepth 3; }")
	return strings.Fields(out), err
}

// glusterGone waits until a claim's PersistentVolumes and the directories of all volumes are deleted.
func (e *environment) glusterGone(ctx context.Context) error {
	return env.Until(ctx, "the deletion of all volumes", func(ctx context.Context) error {
		pvs, err := e.Kube.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, pv := range pvs.Items {
			if pv.Spec.CSI != nil && pv.Spec.CSI.Driver == glusterDriver {
				return fmt.Errorf("PersistentVolume %s exists", pv.Name)
			}
		}
		for _, server := range glusterServers {
			directories, err := e.glusterDirectories(ctx, server)
			if err != nil {
				return err
			}
			if len(directories) > 0 {
				return fmt.Errorf("%s has the directories %v", server, directories)
			}
		}
		_, err = e.Weir.KadaluV1alpha1().KadaluStorages("default").Get(ctx, glusterStorage, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the KadaluStorage exists"), err)
		}
		_, err = e.Kube.StorageV1().StorageClasses().Get(ctx, glusterClass, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the StorageClass exists"), err)
		}
		return nil
	})
}
