package suites

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	drainSpace = "e2e-drain"
	// rolling is how long it may take to drain all workers, one after the other.
	rolling = 12 * time.Minute
)

func (e *environment) drain(ctx context.Context, p *suite.Proof) error {
	if err := e.install(ctx, "drain-cleaner", "weir-drain-cleaner"); err != nil {
		return err
	}
	if err := e.threeBrokers(ctx, drainSpace); err != nil {
		return err
	}
	return steps(ctx, p, []step{
		{"a second worker cannot be drained while the first one's broker is away", setup, e.secondIsDenied},
		{"SelfCheck: kubectl drain of every worker in turn, under load with acks=all", rolling, func(ctx context.Context) (string, error) {
			return e.drainAll(ctx, drainSpace)
		}},
		{"Delegate: the same, with a stand-in that rolls annotated pods as Strimzi's operator does", rolling, e.delegated},
		{"no record was lost, no partition was offline or below min.insync.replicas", patience, func(ctx context.Context) (string, error) {
			return e.drainTally(ctx, drainSpace)
		}},
	})
}

// threeBrokers starts a broker on each worker, with records written to a topic of three replicas, two of which must be in sync.
func (e *environment) threeBrokers(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, setup)
	defer cancel()
	if err := e.kafkaOn(ctx, namespace, 3, `affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector: {matchLabels: {app: kafka}}`, "persistentVolumeClaim: {claimName: kafka}", func(ctx context.Context) error {
		if err := e.sharedVolume(ctx, namespace+"-kafka"); err != nil {
			return err
		}
		return e.ApplyFile(ctx, namespace, "brokers.yaml", "CLASS", namespace+"-kafka")
	}); err != nil {
		return err
	}
	if err := env.Until(ctx, "a topic of three replicas", func(ctx context.Context) error {
		_, err := e.Kubectl(ctx, "exec", "-n", namespace, "load", "--", "load", "topic", "--topic", "drained", "--partitions=6", "--replicas=3", "--min-isr=2")
		return err
	}); err != nil {
		return err
	}
	if err := e.ApplyFile(ctx, namespace, "self-check.yaml", "NAMESPACE", namespace); err != nil {
		return err
	}
	return e.brokersReady(ctx, namespace)
}

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
			return fmt.Errorf("%d are ready", ready)
		}
		return nil
	})
}

func (e *environment) workers(ctx context.Context) ([]string, error) {
	nodes, err := e.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!node-role.kubernetes.io/control-plane"})
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
	_, err := e.Kubectl(ctx, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+limit.String())
	return err
}

// uncordon lets pods come back, whatever has become of the step.
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
	if err := e.kubectlDrain(ctx, nodes[0], patience); err != nil {
		return "", err
	}
	err = e.kubectlDrain(ctx, nodes[1], 40*time.Second)
	if err == nil {
		return "", errors.New("it was drained: two of three replicas are away")
	}
	if !strings.Contains(err.Error(), "drain-cleaner.weir.dev") {
		return "", fmt.Errorf("drain-cleaner had no part in it: %w", err)
	}
	// A denial because Kafka could not be asked, for example, would say nothing about replicas.
	why := ""
	denials := strings.Split(err.Error(), "denied the request: ")[1:]
	for _, denial := range denials {
		if reason, _, _ := strings.Cut(denial, ":"); slices.Contains([]string{"AtMinISR", "UnderMinISR", "UnderReplicated"}, reason) {
			why = denial
		}
	}
	if why == "" {
		return "", fmt.Errorf("it was denied %d times, but never for a replica that is away: %w", len(denials), err)
	}
	e.uncordon(ctx, nodes...)
	why, _, _ = strings.Cut(why, "\n")
	return oneLine(why, 110), e.synced(ctx, drainSpace, patience)
}

// drainAll drains each worker; the next one as soon as the drain before is over, its node being back: waiting is drain-cleaner's part.
func (e *environment) drainAll(ctx context.Context, namespace string) (string, error) {
	nodes, err := e.workers(ctx)
	if err != nil {
		return "", err
	}
	defer e.uncordon(ctx, nodes...)
	var took []string
	for _, node := range nodes {
		broker, err := e.brokerOn(ctx, namespace, node)
		if err != nil {
			return "", err
		}
		began := time.Now()
		if err := e.kubectlDrain(ctx, node, 4*time.Minute); err != nil {
			return "", err
		}
		now, err := e.Pods(ctx, namespace, "app=kafka")
		if err != nil {
			return "", err
		}
		if now[broker.Name].UID == broker.UID {
			return "", fmt.Errorf("%s was drained, and %s is still the same pod", node, broker.Name)
		}
		took = append(took, fmt.Sprintf("%.0f s", time.Since(began).Seconds()))
		e.uncordon(ctx, node)
	}
	return "drained in " + strings.Join(took, ", "), e.brokersReady(ctx, namespace)
}

// brokerOn waits for the broker that runs on a node: a drain of a node without one would prove nothing.
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
		return errors.New("there is none")
	})
	return found, err
}

// delegated lets a stand-in delete what drain-cleaner has annotated.
func (e *environment) delegated(ctx context.Context) (string, error) {
	if err := e.ApplyFile(ctx, drainSpace, "delegate.yaml"); err != nil {
		return "", err
	}
	ctx, stop := context.WithCancel(ctx)
	rolled := make(chan int, 1)
	go func() { rolled <- e.standIn(ctx) }()
	seen, err := e.drainAll(ctx, drainSpace)
	stop()
	n := <-rolled
	if err == nil && n < 3 {
		err = fmt.Errorf("the stand-in was asked for %d rolls", n)
	}
	return fmt.Sprintf("%s; %d rolls", seen, n), err
}

// synced waits until all replicas of the topic that is written are in sync: a broker that is ready may still be catching up.
func (e *environment) synced(ctx context.Context, namespace string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return env.Until(ctx, "all replicas in sync", func(ctx context.Context) error {
		_, err := e.Kubectl(ctx, "exec", "-n", namespace, "load", "--", "load", "synced", "--topic", "drained")
		return err
	})
}

// standIn rolls one annotated pod at a time, as long as all replicas are in sync, until its context ends; it returns how many.
func (e *environment) standIn(ctx context.Context) int {
	rolls := 0
	for {
		err := env.Until(ctx, "an annotated pod", func(ctx context.Context) error {
			if err := e.synced(ctx, drainSpace, patience); err != nil {
				return err
			}
			pods, err := e.Pods(ctx, drainSpace, "app=kafka")
			if err != nil {
				return err
			}
			for name, pod := range pods {
				if pod.Annotations[contract.ManualRollingUpdate] == "true" {
					return e.Kube.CoreV1().Pods(drainSpace).Delete(ctx, name, metav1.DeleteOptions{})
				}
			}
			return errors.New("there is none")
		})
		if err != nil {
			return rolls
		}
		rolls++
	}
}

// drainTally ends the producer, and counts what it was promised against what there is.
func (e *environment) drainTally(ctx context.Context, namespace string) (string, error) {
	if err := e.brokersReady(ctx, namespace); err != nil {
		return "", err
	}
	var produced struct{ Acknowledged, Refused int64 }
	if err := e.lastLine(ctx, namespace, "producer", &produced); err != nil {
		return "", err
	}
	var health struct{ Looked, Offline, UnderMinISR int }
	if err := e.lastLine(ctx, namespace, "watcher", &health); err != nil {
		return "", err
	}
	// What was written a moment ago may not be readable yet, and leave a gap; one that stays is a loss.
	var tally env.Tally
	lost := int64(0)
	settle, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	_ = env.Until(settle, "the tally", func(ctx context.Context) error {
		if err := e.synced(ctx, namespace, patience); err != nil {
			return err
		}
		now, err := e.Count(ctx, namespace, "drained")
		if err != nil {
			return err
		}
		tally, lost = now, max(now.Missing, produced.Acknowledged-now.Distinct)
		if lost > 0 {
			return fmt.Errorf("%d are missing", lost)
		}
		return nil
	})
	seen := fmt.Sprintf("%d acknowledged, %d refused, %d lost, %d duplicated; in %d looks %d partitions offline, %d under min ISR",
		produced.Acknowledged, produced.Refused, lost, tally.Duplicated(), health.Looked, health.Offline, health.UnderMinISR)
	if lost > 0 || produced.Refused > 0 || health.Offline > 0 || health.UnderMinISR > 0 || produced.Acknowledged == 0 || health.Looked == 0 || tally.Records == 0 {
		return "", errors.New(seen)
	}
	return seen, nil
}

// lastLine is what a pod has said last.
func (e *environment) lastLine(ctx context.Context, namespace, pod string, into any) error {
	out, err := e.Kubectl(ctx, "logs", "-n", namespace, pod, "--tail=1")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s said %q: %w", pod, out, err)
	}
	return nil
}
