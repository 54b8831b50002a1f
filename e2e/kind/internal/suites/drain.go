package suites

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	drainNamespace = "e2e-drain"
	// drainLimit is the time limit for draining all workers, one after the other.
	drainLimit = 12 * time.Minute
)

func (e *environment) drain(ctx context.Context, r *suite.Results) error {
	if err := e.install(ctx, "drain-cleaner"); err != nil {
		return err
	}
	if err := e.brokersOnSharedVolume(ctx); err != nil {
		return err
	}
	return steps(ctx, r, []step{
		{
			"a second worker cannot be drained while the broker of the first is not running",
			setupLimit,
			e.secondIsDenied,
		},
		{"SelfCheck: kubectl drain of every worker under load with acks=all", drainLimit, e.selfChecked},
		{"Delegate: the same with a controller that rolls annotated pods as Strimzi does", drainLimit, e.delegated},
		{"no record is lost; no partition was offline or below min.insync.replicas", stepLimit, e.noneLost},
	})
}

func (e *environment) selfChecked(ctx context.Context) (string, error) {
	return e.drainAll(ctx, drainNamespace)
}

func (e *environment) noneLost(ctx context.Context) (string, error) {
	return e.drainTally(ctx, drainNamespace)
}

// brokersOnSharedVolume starts three brokers whose directories are on a volume that all workers share.
func (e *environment) brokersOnSharedVolume(ctx context.Context) error {
	const affinity = `affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector: {matchLabels: {app: kafka}}`
	const volume = drainNamespace + "-kafka"
	const storage = "volumes: [{name: data, persistentVolumeClaim: {claimName: kafka}}]"
	return e.threeBrokers(ctx, brokers{drainNamespace, 3, clusterID(), affinity, storage}, 2*time.Minute,
		func(ctx context.Context) error {
			if err := e.sharedVolume(ctx, volume); err != nil {
				return err
			}
			return e.ApplyFile(ctx, drainNamespace, "broker-claim.yaml", "CLASS", volume)
		})
}

// threeBrokers starts a broker on each worker and a producer, which gives up a record after a time. The topic has three
// replicas and min.insync.replicas=2.
func (e *environment) threeBrokers(
	ctx context.Context, b brokers, delivery time.Duration, prepare func(context.Context) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	namespace := b.namespace
	if err := e.kafka(ctx, b, prepare); err != nil {
		return err
	}
	if err := e.ApplyFile(ctx, namespace, "brokers.yaml", "DELIVERY", delivery.String()); err != nil {
		return err
	}
	if err := env.Until(ctx, "a topic with three replicas", func(ctx context.Context) error {
		_, err := e.Kubectl(ctx, "exec", "-n", namespace, "load", "--", "load", "topic",
			"--topic", "drained", "--partitions=6", "--replicas=3", "--min-isr=2")
		return err
	}); err != nil {
		return err
	}
	if err := e.selfCheck(ctx, namespace, drainv1alpha1.LocalVolumeAllowPending); err != nil {
		return err
	}
	return e.brokersReady(ctx, namespace)
}

// selfCheck applies the policy of the brokers.
func (e *environment) selfCheck(ctx context.Context, namespace string, local drainv1alpha1.LocalVolumePolicy) error {
	return e.ApplyFile(ctx, namespace, "self-check.yaml", "NAMESPACE", namespace, "LOCAL", string(local))
}

// brokersReady waits until three brokers are Ready.
func (e *environment) brokersReady(ctx context.Context, namespace string) error {
	return env.Until(ctx, "three brokers", func(ctx context.Context) error {
		pods, err := e.Pods(ctx, namespace, "app=kafka")
		if err != nil {
			return err
		}
		ready := 0
		for _, pod := range pods {
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
					ready++
				}
			}
		}
		if ready != 3 {
			return fmt.Errorf("%d brokers are Ready", ready)
		}
		return nil
	})
}

// workers returns the names of the worker nodes.
func (e *environment) workers(ctx context.Context) ([]string, error) {
	selector := metav1.ListOptions{LabelSelector: "!node-role.kubernetes.io/control-plane"}
	nodes, err := e.Kube.CoreV1().Nodes().List(ctx, selector)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, node := range nodes.Items {
		names = append(names, node.Name)
	}
	return names, nil
}

func (e *environment) kubectlDrain(ctx context.Context, node string, limit time.Duration) error {
	_, err := e.Kubectl(
		ctx,
		"drain",
		node,
		"--ignore-daemonsets",
		"--delete-emptydir-data",
		"--timeout="+limit.String(),
	)
	return err
}

// uncordon makes nodes schedulable, also after the step has failed.
func (e *environment) uncordon(ctx context.Context, nodes ...string) {
	for _, node := range nodes {
		_, _ = e.Kubectl(context.WithoutCancel(ctx), "uncordon", node)
	}
}

func (e *environment) secondIsDenied(ctx context.Context) (string, error) {
	nodes, err := e.workers(ctx)
	if err != nil {
		return "", err
	}
	defer e.uncordon(ctx, nodes...)
	if err := e.kubectlDrain(ctx, nodes[0], stepLimit); err != nil {
		return "", err
	}
	err = e.kubectlDrain(ctx, nodes[1], 40*time.Second)
	if err == nil {
		return "", errors.New("the second worker was drained although the first broker is not running")
	}
	if !strings.Contains(err.Error(), "drain-cleaner.weir.dev") {
		return "", fmt.Errorf("the drain failed for another reason than a denial by drain-cleaner: %w", err)
	}
	// Other denials, for example after a failed Kafka request, do not prove anything about replicas.
	cause := ""
	accepted := []string{"AtMinISR", "UnderMinISR", "UnderReplicated"}
	denials := strings.Split(err.Error(), "denied the request: ")[1:]
	for _, denial := range denials {
		if reason, _, _ := strings.Cut(denial, ":"); slices.Contains(accepted, reason) {
			cause = denial
		}
	}
	if cause == "" {
		return "", fmt.Errorf("%d denials, none of them because of an unavailable replica: %w", len(denials), err)
	}
	e.uncordon(ctx, nodes...)
	cause, _, _ = strings.Cut(cause, "\n")
	return oneLine(cause, 110), e.synced(ctx, drainNamespace, stepLimit)
}

// drainAll drains each worker, and returns how long it took.
func (e *environment) drainAll(ctx context.Context, namespace string) (string, error) {
	drains, err := e.drainEach(ctx, namespace, func(ctx context.Context, node string) error {
		return e.kubectlDrain(ctx, node, 4*time.Minute)
	})
	return drainTimes(drains), err
}

// drained is a drain of a node.
type drained struct {
	node string
	took time.Duration
}

func drainTimes(drains []drained) string {
	var took []string
	for _, d := range drains {
		took = append(took, fmt.Sprintf("%.0f s", d.took.Seconds()))
	}
	return "drained in " + strings.Join(took, ", ")
}

// drainEach drains each worker and uncordons it. It does not wait for the brokers between two drains: drain-cleaner
// must delay the next drain.
func (e *environment) drainEach(
	ctx context.Context, namespace string, drain func(context.Context, string) error,
) ([]drained, error) {
	nodes, err := e.workers(ctx)
	if err != nil {
		return nil, err
	}
	defer e.uncordon(ctx, nodes...)
	var drains []drained
	for _, node := range nodes {
		broker, err := e.brokerOn(ctx, namespace, node)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := drain(ctx, node); err != nil {
			return nil, err
		}
		drains = append(drains, drained{node, time.Since(began)})
		now, err := e.Pods(ctx, namespace, "app=kafka")
		if err != nil {
			return nil, err
		}
		if now[broker.Name].UID == broker.UID {
			return nil, fmt.Errorf("%s was drained but %s is still the same pod", node, broker.Name)
		}
		e.uncordon(ctx, node)
	}
	return drains, e.brokersReady(ctx, namespace)
}

// brokerOn waits for a broker on a node. Draining a node without a broker would not prove anything.
func (e *environment) brokerOn(ctx context.Context, namespace, node string) (corev1.Pod, error) {
	var found corev1.Pod
	err := env.Until(ctx, "a broker on "+node, func(ctx context.Context) error {
		pods, err := e.Pods(ctx, namespace, "app=kafka")
		if err != nil {
			return err
		}
		for _, pod := range pods {
			if pod.Spec.NodeName == node && pod.DeletionTimestamp == nil {
				found = pod
				return nil
			}
		}
		return errors.New("no broker runs on the node")
	})
	return found, err
}

// delegated drains all workers in mode Delegate. A simulated Strimzi operator rolls the annotated pods.
func (e *environment) delegated(ctx context.Context) (string, error) {
	if err := e.ApplyFile(ctx, drainNamespace, "delegate.yaml"); err != nil {
		return "", err
	}
	ctx, stop := context.WithCancel(ctx)
	rolled := make(chan int, 1)
	go func() { rolled <- e.rollAnnotated(ctx) }()
	result, err := e.drainAll(ctx, drainNamespace)
	stop()
	n := <-rolled
	if err == nil && n < 3 {
		err = fmt.Errorf("%d pods were rolled, want at least 3", n)
	}
	return fmt.Sprintf("%s; %d pods rolled", result, n), err
}

// synced waits until all replicas of the topic are in sync. A Ready broker may still be catching up.
func (e *environment) synced(ctx context.Context, namespace string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return env.Until(ctx, "all replicas in sync", func(ctx context.Context) error {
		_, err := e.Kubectl(ctx, "exec", "-n", namespace, "load", "--", "load", "synced", "--topic", "drained")
		return err
	})
}

// rollAnnotated deletes annotated pods one at a time while all replicas are in sync, until the context ends. It
// returns the number of deleted pods.
func (e *environment) rollAnnotated(ctx context.Context) int {
	rolls := 0
	for {
		err := env.Until(ctx, "an annotated pod", func(ctx context.Context) error {
			if err := e.synced(ctx, drainNamespace, stepLimit); err != nil {
				return err
			}
			pods, err := e.Pods(ctx, drainNamespace, "app=kafka")
			if err != nil {
				return err
			}
			for name, pod := range pods {
				if pod.Annotations[contract.ManualRollingUpdate] == "true" {
					return e.Kube.CoreV1().Pods(drainNamespace).Delete(ctx, name, metav1.DeleteOptions{})
				}
			}
			return errors.New("no pod is annotated")
		})
		if err != nil {
			return rolls
		}
		rolls++
	}
}
