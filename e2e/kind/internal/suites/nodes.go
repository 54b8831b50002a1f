package suites

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// nodeLost kills a worker. Kubernetes replaces the pods of a StatefulSet only after the node has the out-of-service
// taint.
func (e *environment) nodeLost(ctx context.Context) (string, error) {
	victim, err := e.Kube.CoreV1().Pods(connectNamespace).Get(ctx, counting+"-tasks-0", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	node := victim.Spec.NodeName
	before, err := e.Pods(ctx, connectNamespace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	idsBefore, err := e.identities(ctx, connectNamespace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	if err := e.cluster.Stop(ctx, node); err != nil {
		return "", err
	}
	defer e.restore(context.WithoutCancel(ctx), node)
	if err := e.waitForNode(ctx, node, false); err != nil {
		return "", err
	}
	const taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
	if _, err := e.Kubectl(ctx, "taint", "node", node, "--overwrite", taint); err != nil {
		return "", err
	}
	moved, err := e.rescheduled(ctx, connectNamespace, ofConnector(counting), before, node)
	if err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectNamespace, counting, env.Running(3)); err != nil {
		return "", err
	}
	idsNow, err := e.identities(ctx, connectNamespace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	for _, name := range changed(idsBefore, idsNow) {
		if before[name].Spec.NodeName != node {
			return "", fmt.Errorf("%s was on another node and restarted", name)
		}
	}
	tally, err := e.Count(ctx, connectNamespace, counting)
	if err != nil {
		return "", err
	}
	if _, err := e.moving(ctx, connectNamespace, counting, tally, 3); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s was killed; %d pods rescheduled, %d kept running", node, moved, len(before)-moved), nil
}

// rescheduled waits until the pods of a failed node are on other nodes, and returns their number.
func (e *environment) rescheduled(
	ctx context.Context, namespace, selector string, before map[string]corev1.Pod, node string,
) (moved int, err error) {
	err = env.Until(ctx, "the pods of the failed node on other nodes", func(ctx context.Context) error {
		now, err := e.Pods(ctx, namespace, selector)
		if err != nil {
			return err
		}
		moved = 0
		for name, pod := range before {
			if pod.Spec.NodeName != node {
				continue
			}
			if there, ok := now[name]; !ok || there.UID == pod.UID || there.Spec.NodeName == node ||
				there.Spec.NodeName == "" {
				return fmt.Errorf("%s is not rescheduled", name)
			}
			moved++
		}
		return nil
	})
	return moved, err
}

// restore starts a node and removes its taint. Later steps fail if this fails.
func (e *environment) restore(ctx context.Context, node string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if e.cluster.Start(ctx, node) == nil {
		_ = e.waitForNode(ctx, node, true)
		_, _ = e.Kubectl(ctx, "taint", "node", node, "node.kubernetes.io/out-of-service-")
	}
}

// waitForNode waits until a node is Ready or not Ready.
func (e *environment) waitForNode(ctx context.Context, name string, ready bool) error {
	return env.Until(ctx, "node "+name, func(ctx context.Context) error {
		node, err := e.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && (c.Status == corev1.ConditionTrue) != ready {
				return fmt.Errorf("the condition Ready is %s", c.Status)
			}
		}
		return nil
	})
}
