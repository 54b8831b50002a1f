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

// glusterDriverRestart replaces the pods of the driver.
func (e *environment) glusterDriverRestart(ctx context.Context) (string, error) {
	before, err := e.identities(ctx, glusterNamespace, glusterPods)
	if err != nil {
		return "", err
	}
	if err := e.glusterRestart(ctx); err != nil {
		return "", err
	}
	if err := e.glusterRunning(ctx); err != nil {
		return "", err
	}
	result, failed, err := e.glusterWriteAndRead(ctx, "restarted")
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d writes failed", failed)
	}
	if err != nil {
		return "", err
	}
	after, err := e.identities(ctx, glusterNamespace, glusterPods)
	if names := changed(before, after); err == nil && names != nil {
		err = fmt.Errorf("the pods %v were restarted", names)
	}
	return result, err
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
	if _, err := e.Kubectl(ctx, "delete", "daemonset", "shared", "-n", glusterNamespace); err != nil {
		return "", err
	}
	if err := e.deleted(ctx, glusterNamespace, glusterPods); err != nil {
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
	if _, err := e.Kubectl(ctx, "delete", "-k", "deploy/gluster-bridge"); err != nil {
		return "", err
	}
	if err := e.deleted(ctx, agents, "app.kubernetes.io/name=gluster-bridge"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d volumes deleted; no mount of a pod on any node", len(claims.Items)), e.glusterUnmounted(ctx)
}

// glusterUnmounted waits until no node has a mount of GlusterFS for a pod.
func (e *environment) glusterUnmounted(ctx context.Context) error {
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
				if strings.Contains(line, " fuse.glusterfs ") && !strings.Contains(line, "/gluster.weir.dev/mounts/") {
					return fmt.Errorf("node %s has the mount %s", node.Name, oneLine(line, 200))
				}
			}
		}
		return nil
	})
}
