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

	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	volumesNamespace = "e2e-volumes"
	// release is the name of the set and of the Helm release that manifests/volumes.yaml represents.
	release = "cp-helm-charts"
	// produced is the number of records and of znodes that are written after each installation.
	produced = 1000
	znodes   = 100
)

// chart is the state of the suite volumes.
type chart struct {
	*replicas
	clusterID string
	// installations and scheduled are the numbers of times that the release, and the brokers of manifests/scheduled.yaml,
	// were installed.
	installations, scheduled int
}

func (e *environment) volumes(ctx context.Context, r *suite.Results) error {
	c := &chart{replicas: e.replicasIn(volumesNamespace), clusterID: clusterID()}
	defer func() { r.Table(c.table(context.WithoutCancel(ctx))) }()
	return steps(ctx, r, []step{
		{"each node has a disk and an agent; the controller runs", setupLimit, c.setUp},
		{"one KafkaLocalVolumeSet yields nine volumes on three nodes", stepLimit, c.createSet},
		{"install three brokers and three ZooKeeper servers", setupLimit, c.install},
		{"uninstall with all claims and install again", setupLimit, c.reinstall},
		{"the same with the controller and an agent restarted in between", setupLimit, c.reinstallWithRestarts},
		{"the same with a cordoned node: its replica waits for it", setupLimit, c.reinstallCordoned},
		{"a deleted broker comes back to its directory", setupLimit, c.deletePod},
		{"three brokers that no set describes, with a StorageClass with a provisioner", setupLimit, c.installScheduled},
		{"uninstall them with all claims and install again", setupLimit, c.reinstallScheduled},
	})
}

// setUp prepares the nodes.
func (c *chart) setUp(ctx context.Context) (string, error) {
	agents, err := c.localDisks(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d agents", agents), c.Namespace(ctx, volumesNamespace)
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
	if err := c.setHas(ctx, release, 9, 0); err != nil {
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
	replicas := map[string]string{}
	for _, pv := range pvs.Items {
		node := pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0]
		if !slices.Contains(workers, node) {
			return "", fmt.Errorf("PersistentVolume %s is on %s, want one of %v", pv.Name, node, workers)
		}
		if pv.Spec.Local.Path != basePath+"/"+pv.Name {
			return "", fmt.Errorf("PersistentVolume %s has the path %s", pv.Name, pv.Spec.Local.Path)
		}
		c.directories[pv.Name] = directory{node, pv.Spec.Local.Path, podOf(pv.Name)}
		replicas[ordinal(pv.Name)] = node
	}
	used := slices.Compact(slices.Sorted(maps.Values(replicas)))
	if len(c.directories) != 9 || len(used) != 3 {
		return "", fmt.Errorf("the volumes have these directories: %v", c.directories)
	}
	return fmt.Sprintf("ready %.1f s after kubectl apply", took.Seconds()), nil
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
	if err := c.deleteAll(ctx, "release="+release); err != nil {
		return err
	}
	if err := between(ctx); err != nil {
		return err
	}
	return c.setHas(ctx, release, 9, 0)
}

// deleteAll deletes the objects with a label, and all claims.
func (c *chart) deleteAll(ctx context.Context, selector string) error {
	_, err := c.Kubectl(ctx, "delete", "statefulset,service", "-n", volumesNamespace, "-l", selector)
	if err != nil {
		return err
	}
	if err := c.deleted(ctx, volumesNamespace, selector); err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, "delete", "pvc", "-n", volumesNamespace, "--all")
	return err
}

func (c *chart) reinstall(ctx context.Context) (string, error) {
	if err := c.uninstall(ctx, func(context.Context) error { return nil }); err != nil {
		return "", err
	}
	return c.install(ctx)
}

// reinstallWithRestarts restarts the controller and the agent of a worker while the volumes are made available again.
func (c *chart) reinstallWithRestarts(ctx context.Context) (string, error) {
	worker := c.directories["datadir-0-"+release+"-cp-kafka-0"].node
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
	worker := c.directories["datadir-0-"+broker].node
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
