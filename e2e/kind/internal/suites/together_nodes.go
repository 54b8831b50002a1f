package suites

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// drainWorkers drains each worker. A drain that ends because no replica of drain-cleaner answered is repeated.
func (c *combined) drainWorkers(ctx context.Context) (string, error) {
	var err error
	c.figures.drains, err = c.drainEach(ctx, c.namespace, func(ctx context.Context, node string) error {
		for {
			err := c.kubectlDrain(ctx, node, 5*time.Minute)
			if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
				return err
			}
			c.figures.repeated++
		}
	})
	if err != nil {
		return "", err
	}
	if err := c.onVolumes(ctx); err != nil {
		return "", err
	}
	wrong, err := c.foreign(ctx, "")
	return fmt.Sprintf("%s; %d drains repeated; %d directories with another pod", drainTimes(c.figures.drains),
		c.figures.repeated, wrong), err
}

// reinstall deletes the brokers with their claims and installs them again. Meanwhile no partition is available.
func (c *combined) reinstall(ctx context.Context) (string, error) {
	before, err := c.partitionHealth(ctx, c.namespace)
	if err != nil {
		return "", err
	}
	if _, err := c.Kubectl(ctx, "delete", "statefulset/kafka", "-n", c.namespace); err != nil {
		return "", err
	}
	if err := c.deleted(ctx, c.namespace, "app=kafka"); err != nil {
		return "", err
	}
	// The claims have the labels of the selector of their StatefulSet.
	out, err := c.Kubectl(ctx, "delete", "pvc", "-n", c.namespace, "-l", "app=kafka")
	if err != nil {
		return "", err
	}
	if n := strings.Count(out, " deleted"); n != 3 {
		return "", fmt.Errorf("%d claims were deleted, want 3: %s", n, oneLine(out, 200))
	}
	if err := c.setHas(ctx, brokerSet, 3, 0); err != nil {
		return "", err
	}
	if err := c.installBrokers(ctx, c.brokers); err != nil {
		return "", err
	}
	if err := c.onVolumes(ctx); err != nil {
		return "", err
	}
	wrong, err := c.foreign(ctx, "")
	if err != nil {
		return "", err
	}
	after, err := c.settledHealth(ctx, c.namespace)
	if err != nil {
		return "", err
	}
	c.figures.reinstalled = after.since(before)
	tally, err := c.Count(ctx, c.namespace, "numbers")
	if err == nil && tally.Missing > 0 {
		err = fmt.Errorf("%d of %d records are missing", tally.Missing, tally.Distinct+tally.Missing)
	}
	return fmt.Sprintf("3 claims created again; %d directories with another pod; %d records of the connectors are there",
		wrong, tally.Distinct), err
}

// loseNode kills the node of a task and deletes its Node. The policy of the set is Wait: the broker's claim and
// directory stay its own, and the connectors continue on other nodes.
func (c *combined) loseNode(ctx context.Context) (string, error) {
	if err := c.onVolumes(ctx); err != nil {
		return "", err
	}
	before, err := c.Pods(ctx, c.namespace, allPods)
	if err != nil {
		return "", err
	}
	node := before["numbers-tasks-0"].Spec.NodeName
	if node == "" {
		return "", errors.New("pod numbers-tasks-0 has no node")
	}
	broker, err := c.brokerOn(ctx, c.namespace, node)
	if err != nil {
		return "", err
	}
	wrong, err := c.foreign(ctx, "")
	if err != nil {
		return "", err
	}
	volumes, err := c.bindings(ctx)
	if err != nil {
		return "", err
	}
	if c.figures.beforeLoss, err = c.partitionHealth(ctx, c.namespace); err != nil {
		return "", err
	}
	if err := c.cluster.Stop(ctx, node); err != nil {
		return "", err
	}
	c.lost = node
	if _, err := c.Kubectl(ctx, "delete", "node", node); err != nil {
		return "", err
	}
	moved, err := c.rescheduled(ctx, c.namespace, allPods, before, node)
	if err != nil {
		return "", err
	}
	if err := c.connectorsRun(ctx, c.namespace); err != nil {
		return "", err
	}
	if err := c.waits(ctx, broker, node); err != nil {
		return "", err
	}
	now, err := c.bindings(ctx)
	if err != nil {
		return "", err
	}
	for volume, binding := range volumes {
		if now[volume] != binding {
			return "", fmt.Errorf("PersistentVolume %s is %s, want %s", volume, now[volume], binding)
		}
	}
	tally, err := c.Count(ctx, c.namespace, "archive")
	if err != nil {
		return "", err
	}
	_, err = c.moving(ctx, c.namespace, "archive", tally, 2)
	return fmt.Sprintf("%s; %d pods of connectors moved; %s waits for the node, with its claim; "+
		"%d directories with another pod", node, moved, broker.Name, wrong), err
}

// waits waits until the broker of a lost node is Pending and the set reports the loss.
func (c *combined) waits(ctx context.Context, broker corev1.Pod, node string) error {
	return env.Until(ctx, "the report of the lost node", func(ctx context.Context) error {
		pod, err := c.Kube.CoreV1().Pods(c.namespace).Get(ctx, broker.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pod.UID == broker.UID || pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName != "" {
			return fmt.Errorf("%s is %s on node %q", pod.Name, pod.Status.Phase, pod.Spec.NodeName)
		}
		set, err := c.Weir.StorageV1alpha1().KafkaLocalVolumeSets(c.namespace).Get(ctx, brokerSet, metav1.GetOptions{})
		if err != nil {
			return err
		}
		lost := meta.FindStatusCondition(set.Status.Conditions, storagev1alpha1.ConditionNodeLost)
		if lost == nil || lost.Status != metav1.ConditionTrue || !strings.Contains(lost.Message, node) {
			return fmt.Errorf("the condition NodeLost is %+v", lost)
		}
		return nil
	})
}

// bindings returns the claim, with its uid, the node and the directory of each local volume.
func (c *combined) bindings(ctx context.Context) (map[string]string, error) {
	pvs, err := c.Kube.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{LabelSelector: localVolume})
	if err != nil {
		return nil, err
	}
	bound := map[string]string{}
	for _, pv := range pvs.Items {
		if claim := pv.Spec.ClaimRef; claim != nil && claim.Namespace == c.namespace {
			bound[pv.Name] = fmt.Sprintf("%s of %s (%s) at %s on %v", pv.Status.Phase, claim.Name, claim.UID,
				pv.Spec.Local.Path, pv.Spec.NodeAffinity.Required.NodeSelectorTerms)
		}
	}
	if len(bound) != 3 {
		return nil, fmt.Errorf("%d PersistentVolumes are bound, want 3: %v", len(bound), bound)
	}
	return bound, nil
}
