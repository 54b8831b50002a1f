package suites

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// brokerFigures are what the producer and the watcher of manifests/brokers.yaml have counted, and what is in the topic.
type brokerFigures struct {
	acknowledged, refused, delivered, lost, duplicated int64
	partitions                                         partitionHealth
}

// partitionHealth are sums over all observations.
type partitionHealth struct{ Observations, Offline, UnderMinISR int }

func (e *environment) partitionHealth(ctx context.Context, namespace string) (h partitionHealth, err error) {
	err = e.lastLine(ctx, namespace, "watcher", &h)
	return h, err
}

// settledHealth waits until the watcher has seen all partitions available several times in a row. Just after all
// brokers have started, one of them may report the replicas that were in sync before.
func (e *environment) settledHealth(ctx context.Context, namespace string) (h partitionHealth, err error) {
	const enough = 5
	var first partitionHealth
	err = env.Until(ctx, "partitions that stay available", func(ctx context.Context) error {
		if h, err = e.partitionHealth(ctx, namespace); err != nil {
			return err
		}
		if now := h.since(first); first.Observations == 0 || now.Offline > 0 || now.UnderMinISR > 0 {
			first = h
		}
		if n := h.since(first).Observations; n < enough {
			return fmt.Errorf("all partitions were available in %d checks in a row, want %d", n, enough)
		}
		return nil
	})
	return h, err
}

// stopProducer ends the producer. Its pod stays, with its log.
func (e *environment) stopProducer(ctx context.Context, namespace string) error {
	const patch = `{"spec":{"activeDeadlineSeconds":1}}`
	if _, err := e.Kubectl(ctx, "patch", "pod/producer", "-n", namespace, "--type=merge", "-p", patch); err != nil {
		return err
	}
	return env.Until(ctx, "the end of the producer", func(ctx context.Context) error {
		pod, err := e.Kube.CoreV1().Pods(namespace).Get(ctx, "producer", metav1.GetOptions{})
		if err == nil && len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Terminated == nil {
			err = fmt.Errorf("the pod is %s", pod.Status.Phase)
		}
		return err
	})
}

// brokerTally stops the producer, and compares the acknowledged records with the records in the topic once settled
// returns nil.
func (e *environment) brokerTally(
	ctx context.Context, namespace string, settled func(context.Context) error,
) (f brokerFigures, err error) {
	if err := e.stopProducer(ctx, namespace); err != nil {
		return f, err
	}
	var produced struct{ Acknowledged, Refused int64 }
	if err := e.lastLine(ctx, namespace, "producer", &produced); err != nil {
		return f, err
	}
	f.acknowledged, f.refused = produced.Acknowledged, produced.Refused
	if f.partitions, err = e.partitionHealth(ctx, namespace); err != nil {
		return f, err
	}
	// Without a tally all records are lost.
	f.lost = f.acknowledged
	// A record written a moment ago may not be readable yet. A gap that remains is a lost record.
	ctx, cancel := context.WithTimeout(ctx, stepLimit/2)
	defer cancel()
	_ = env.Until(ctx, "the tally", func(ctx context.Context) error {
		if err := settled(ctx); err != nil {
			return err
		}
		now, err := e.Count(ctx, namespace, "drained")
		if err != nil {
			return err
		}
		f.delivered, f.duplicated = now.Distinct, now.Duplicated()
		if f.lost = max(now.Missing, f.acknowledged-now.Distinct); f.lost > 0 {
			return fmt.Errorf("%d records are missing", f.lost)
		}
		return nil
	})
	return f, nil
}

// drainTally returns an error if a record was lost or refused, or a partition not available.
func (e *environment) drainTally(ctx context.Context, namespace string) (string, error) {
	if err := e.brokersReady(ctx, namespace); err != nil {
		return "", err
	}
	f, err := e.brokerTally(ctx, namespace, func(ctx context.Context) error {
		return e.synced(ctx, namespace, stepLimit)
	})
	if err != nil {
		return "", err
	}
	result := fmt.Sprintf("records: %d acknowledged, %d refused, %d lost, %d duplicated; "+
		"partitions: %d offline, %d under min ISR in %d checks", f.acknowledged, f.refused, f.lost, f.duplicated,
		f.partitions.Offline, f.partitions.UnderMinISR, f.partitions.Observations)
	bad := f.lost > 0 || f.refused > 0 || f.partitions.Offline > 0 || f.partitions.UnderMinISR > 0
	if bad || f.acknowledged == 0 || f.partitions.Observations == 0 || f.delivered == 0 {
		return "", errors.New(result)
	}
	return result, nil
}

// lastLine decodes the last log line of a pod.
func (e *environment) lastLine(ctx context.Context, namespace, pod string, into any) error {
	out, err := e.Kubectl(ctx, "logs", "-n", namespace, pod, "--tail=1")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("decode the last log line %[2]q of pod %[1]s: %[3]w", pod, out, err)
	}
	return nil
}
