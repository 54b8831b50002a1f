package suites

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// glusterServerLost kills the last server and starts it again.
func (e *environment) glusterServerLost(ctx context.Context) (string, error) {
	server := glusterServers[len(glusterServers)-1]
	if err := e.cluster.StopServer(ctx, server); err != nil {
		return "", err
	}
	// In the moment of the failure, GlusterFS can refuse a write.
	_, failed, err := e.glusterWriteAndRead(ctx, "down")
	if err = errors.Join(err, e.cluster.RestartServer(context.WithoutCancel(ctx), server)); err != nil {
		return "", err
	}
	written := 0
	err = env.Until(ctx, "the files on the brick of "+server, func(ctx context.Context) error {
		out, err := e.cluster.ExecServer(ctx, server, "sh", "-c",
			"find "+glusterBrick()+"/subvol -type f -name 'down-*' -size +0 | wc -l")
		if err != nil {
			return err
		}
		pods, err := e.Pods(ctx, glusterNamespace, glusterPods)
		if err != nil {
			return err
		}
		if written = len(pods); strings.TrimSpace(out) != fmt.Sprint(written) {
			return fmt.Errorf("%s of %d files are healed", strings.TrimSpace(out), written)
		}
		return nil
	})
	return fmt.Sprintf("%s was killed; %d files written in the meantime are on its brick; %d failed writes", server,
		written, failed), err
}

// glusterConnectors shares a volume of the class between the pods of three connectors.
func (e *environment) glusterConnectors(ctx context.Context) (string, error) {
	if err := e.install(ctx, "connect-scheduler"); err != nil {
		return "", err
	}
	if err := e.shareConnectors(ctx, glusterNamespace, glusterClass); err != nil {
		return "", err
	}
	result, err := e.fileVisible(ctx, glusterNamespace)
	if err != nil {
		return "", err
	}
	relayed, err := e.relay(ctx, glusterNamespace)
	return "a file of one is read " + result + "; " + relayed, err
}

// glusterUninstall deletes the storage before the claims, and then the driver.
func (e *environment) glusterUninstall(ctx context.Context) (string, error) {
	if err := e.deleteConnectors(ctx, glusterNamespace); err != nil {
		return "", err
	}
	_, err := e.Kubectl(ctx, "delete", "kadalustorage", glusterStorage, "-n", "default", "--wait=false")
	if err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "delete", "daemonset/shared", "deployment/moving", "-n", glusterNamespace); err != nil {
		return "", err
	}
	if err := e.deleted(ctx, glusterNamespace, "app in (shared, moving)"); err != nil {
		return "", err
	}
	ks, err := e.Weir.KadaluV1alpha1().KadaluStorages("default").Get(ctx, glusterStorage, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("the storage was deleted before its volumes: %w", err)
	}
	if ks.DeletionTimestamp == nil {
		return "", errors.New("the storage has no deletion timestamp")
	}
	claims, err := e.Kube.CoreV1().PersistentVolumeClaims(glusterNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "delete", "pvc", "--all", "-n", glusterNamespace); err != nil {
		return "", err
	}
	if err := e.glusterGone(ctx); err != nil {
		return "", err
	}
	// kubelet unmounts a volume after its last pod. It cannot without the driver.
	if err := e.glusterUnmounted(ctx, "/gluster.weir.dev/mounts/"); err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "delete", "-k", "deploy/gluster-bridge"); err != nil {
		return "", err
	}
	if err := e.deleted(ctx, agents, glusterService); err != nil {
		return "", err
	}
	if err := e.glusterUnmounted(ctx, ""); err != nil {
		return "", err
	}
	labels, err := e.glusterUnregistered(ctx)
	return fmt.Sprintf("%d volumes deleted; no mount of GlusterFS and no driver on any node; %d labels of kubelet removed",
		len(claims.Items), labels), err
}

// glusterUnregistered waits until no kubelet knows the driver, and removes the labels of the nodes as docs/upgrade.md
// says. It returns the number of labels.
func (e *environment) glusterUnregistered(ctx context.Context) (labels int, err error) {
	if err := env.Until(ctx, "the removal of the driver from each node", func(ctx context.Context) error {
		nodes, err := e.Kube.StorageV1().CSINodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if len(node.Spec.Drivers) > 0 {
				return fmt.Errorf("node %s has the drivers %v", node.Name, node.Spec.Drivers)
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	labeled := metav1.ListOptions{LabelSelector: glusterTopology}
	before, err := e.Kube.CoreV1().Nodes().List(ctx, labeled)
	if err != nil {
		return 0, err
	}
	if _, err := e.Kubectl(ctx, "label", "nodes", "--all", glusterTopology+"-"); err != nil {
		return 0, err
	}
	after, err := e.Kube.CoreV1().Nodes().List(ctx, labeled)
	if err == nil && len(after.Items) > 0 {
		err = fmt.Errorf("%d nodes have the label %s", len(after.Items), glusterTopology)
	}
	return len(before.Items), err
}

// glusterUnmounted waits until no node has a mount of GlusterFS, except those of clients in a directory.
func (e *environment) glusterUnmounted(ctx context.Context, except string) error {
	nodes, err := e.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return env.Until(ctx, "the removal of all mounts", func(ctx context.Context) error {
		for _, node := range nodes.Items {
			mounts, err := e.cluster.Exec(ctx, node.Name, "cat", "/proc/mounts")
			if err != nil {
				return err
			}
			for line := range strings.Lines(mounts) {
				if strings.Contains(line, " fuse.glusterfs ") && (except == "" || !strings.Contains(line, except)) {
					return fmt.Errorf("node %s has the mount %s", node.Name, oneLine(line, 200))
				}
			}
		}
		return nil
	})
}
