package suites

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	volumesNamespace = "e2e-volumes"
	// agents is the namespace of the agents of volume-provisioner.
	agents = "weir-node"
	// localVolume is the label selector of the PersistentVolumes of volume-provisioner.
	localVolume = "weir.dev/local-volume=true"
	// release is the name of the set and of the Helm release that manifests/volumes.yaml represents.
	release = "cp-helm-charts"
	// basePath is the mount point of the disk of each node.
	basePath = "/mnt/data"
	// diskSize is enough for three volumes of 5Gi and 10 percent. The disks are sparse files.
	diskSize = "18G"
	// produced is the number of records and of znodes that are written after each installation.
	produced = 1000
	znodes   = 100
)

// chart is the state of the suite volumes.
type chart struct {
	*environment
	clusterID string
	// nodes has the node of each claim.
	nodes map[string]string
	// pods has the uids of all pods that have used a volume, by name of the pod, in the order of their creation.
	pods map[string][]types.UID
	// installations is the number of times that the release was installed.
	installations int
}

func (e *environment) volumes(ctx context.Context, r *suite.Results) error {
	c := &chart{environment: e, clusterID: clusterID(), pods: map[string][]types.UID{}}
	defer func() { r.Table(c.table(context.WithoutCancel(ctx))) }()
	return steps(ctx, r, []step{
		{"each node has a disk and an agent; the controller runs", setupLimit, c.setUp},
		{"one KafkaLocalVolumeSet yields nine volumes on three nodes", stepLimit, c.createSet},
		{"install three brokers and three ZooKeeper servers", setupLimit, c.install},
		{"uninstall with all claims and install again", setupLimit, c.reinstall},
		{"the same with the controller and an agent restarted in between", setupLimit, c.reinstallWithRestarts},
		{"the same with a cordoned node: its replica waits for it", setupLimit, c.reinstallCordoned},
		{"a deleted broker comes back to its directory", setupLimit, c.deletePod},
	})
}

// setUp mounts a disk at the base path of each node and installs volume-provisioner.
func (c *chart) setUp(ctx context.Context) (string, error) {
	if err := c.removeEarlierRun(ctx); err != nil {
		return "", err
	}
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, node := range nodes.Items {
		if err := c.cluster.Disk(ctx, node.Name, basePath, diskSize); err != nil {
			return "", err
		}
	}
	if err := c.environment.install(ctx, "volume-provisioner"); err != nil {
		return "", err
	}
	if err := c.agentsReady(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d agents", len(nodes.Items)), c.Namespace(ctx, volumesNamespace)
}

// removeEarlierRun empties the disks of a kept cluster.
func (c *chart) removeEarlierRun(ctx context.Context) error {
	if !c.cluster.Reused {
		return nil
	}
	for _, args := range [][]string{
		{"delete", "namespace", agents, volumesNamespace, "--ignore-not-found"},
		{"delete", "pv", "-l", localVolume},
	} {
		if _, err := c.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		const empty = "! mountpoint -q " + basePath + " || umount " + basePath
		if _, err := c.cluster.Exec(ctx, node.Name, "sh", "-c", empty); err != nil {
			return err
		}
	}
	// The agents create them again, and accept the new disks.
	_, err = c.Kubectl(ctx, "delete", "localvolumenodes", "--all", "--ignore-not-found")
	if err != nil && strings.Contains(err.Error(), "doesn't have a resource type") {
		return nil
	}
	return err
}

func (c *chart) agentsReady(ctx context.Context) error {
	_, err := c.Kubectl(ctx, "rollout", "status", "-n", agents, "daemonset/volume-provisioner-agent")
	return err
}

// createSet applies the example for the Confluent chart.
func (c *chart) createSet(ctx context.Context) (string, error) {
	example, err := os.ReadFile(filepath.Join(c.Root, "deploy", "examples", "volume-provisioner", "confluent.yaml"))
	if err != nil {
		return "", err
	}
	set := strings.Replace(string(example), "namespace: default", "namespace: "+volumesNamespace, 1)
	applied := time.Now()
	if err := c.Apply(ctx, volumesNamespace, set); err != nil {
		return "", err
	}
	if err := c.setHas(ctx, 9, 0); err != nil {
		return "", err
	}
	took := time.Since(applied)
	pvs, err := c.Kube.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{LabelSelector: localVolume})
	if err != nil {
		return "", err
	}
	workers, err := c.workers(ctx)
	if err != nil {
		return "", err
	}
	c.nodes = map[string]string{}
	replicas := map[string]string{}
	for _, pv := range pvs.Items {
		node := pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0]
		if !slices.Contains(workers, node) {
			return "", fmt.Errorf("PersistentVolume %s is on %s, want one of %v", pv.Name, node, workers)
		}
		if pv.Spec.Local.Path != basePath+"/"+pv.Name {
			return "", fmt.Errorf("PersistentVolume %s has the path %s", pv.Name, pv.Spec.Local.Path)
		}
		c.nodes[pv.Name] = node
		replicas[ordinal(pv.Name)] = node
	}
	used := slices.Compact(slices.Sorted(maps.Values(replicas)))
	if len(c.nodes) != 9 || len(used) != 3 {
		return "", fmt.Errorf("the volumes are on these nodes: %v", c.nodes)
	}
	return fmt.Sprintf("ready %.1f s after kubectl apply", took.Seconds()), nil
}

// setHas waits until the set is Ready with a number of volumes and of bound claims.
func (c *chart) setHas(ctx context.Context, volumes, bound int) error {
	sets := c.Weir.StorageV1alpha1().KafkaLocalVolumeSets(volumesNamespace)
	return env.Until(ctx, "the KafkaLocalVolumeSet", func(ctx context.Context) error {
		set, err := sets.Get(ctx, release, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want := fmt.Sprintf("%d/%d", volumes, volumes)
		if s := set.Status; s.ObservedGeneration != set.Generation || s.Ready != want || int(s.Bound) != bound {
			return fmt.Errorf("%s volumes are ready and %d are bound, want %s and %d: %+v", s.Ready, s.Bound, want, bound,
				s.Conditions)
		}
		return nil
	})
}

// install installs the release, verifies what it finds, and writes new records.
func (c *chart) install(ctx context.Context) (string, error) {
	if err := c.apply(ctx); err != nil {
		return "", err
	}
	return c.verify(ctx)
}

func (c *chart) apply(ctx context.Context) error {
	return c.ApplyFile(ctx, volumesNamespace, "volumes.yaml", "IDENTITY", c.clusterID)
}

// uninstall deletes the release and, unlike Helm, its claims. between runs after that.
func (c *chart) uninstall(ctx context.Context, between func(context.Context) error) error {
	selector := "release=" + release
	_, err := c.Kubectl(ctx, "delete", "statefulset,service", "-n", volumesNamespace, "-l", selector)
	if err != nil {
		return err
	}
	if err := c.deleted(ctx, volumesNamespace, selector); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "delete", "pvc", "-n", volumesNamespace, "--all"); err != nil {
		return err
	}
	if err := between(ctx); err != nil {
		return err
	}
	return c.setHas(ctx, 9, 0)
}

func (c *chart) reinstall(ctx context.Context) (string, error) {
	if err := c.uninstall(ctx, func(context.Context) error { return nil }); err != nil {
		return "", err
	}
	return c.install(ctx)
}

// reinstallWithRestarts restarts the controller and the agent of a worker while the volumes are made available again.
func (c *chart) reinstallWithRestarts(ctx context.Context) (string, error) {
	worker := c.nodes["datadir-0-"+release+"-cp-kafka-0"]
	if err := c.uninstall(ctx, func(ctx context.Context) error {
		for _, args := range [][]string{
			{"-n", system, "-l", "app.kubernetes.io/name=volume-provisioner"},
			{"-n", agents, "--field-selector=spec.nodeName=" + worker},
		} {
			if _, err := c.Kubectl(ctx, append([]string{"delete", "pod", "--force"}, args...)...); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return "", err
	}
	result, err := c.install(ctx)
	return result, errors.Join(err, c.agentsReady(ctx))
}

// reinstallCordoned shows that a replica does not start on another node.
func (c *chart) reinstallCordoned(ctx context.Context) (string, error) {
	broker := release + "-cp-kafka-1"
	worker := c.nodes["datadir-0-"+broker]
	if err := c.uninstall(ctx, func(context.Context) error { return nil }); err != nil {
		return "", err
	}
	if _, err := c.Kubectl(ctx, "cordon", worker); err != nil {
		return "", err
	}
	defer c.uncordon(ctx, worker)
	if err := c.apply(ctx); err != nil {
		return "", err
	}
	if err := env.Until(ctx, "the scheduler to reject "+broker, func(ctx context.Context) error {
		pod, err := c.Kube.CoreV1().Pods(volumesNamespace).Get(ctx, broker, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
				return nil
			}
		}
		return fmt.Errorf("%s is %s on node %q", broker, pod.Status.Phase, pod.Spec.NodeName)
	}); err != nil {
		return "", err
	}
	c.uncordon(ctx, worker)
	return c.verify(ctx)
}

// deletePod deletes a broker without its claim.
func (c *chart) deletePod(ctx context.Context) (string, error) {
	if _, err := c.Kubectl(ctx, "delete", "pod", "-n", volumesNamespace, release+"-cp-kafka-2"); err != nil {
		return "", err
	}
	return c.verify(ctx)
}

func ordinal(name string) string { return name[strings.LastIndex(name, "-")+1:] }

// podOf returns the name of the pod that a claim is for.
func podOf(claim string) string {
	_, name, _ := strings.Cut(claim, release)
	return release + name
}
