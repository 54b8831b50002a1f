package suites

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
	"github.com/weir-dev/weir/pkg/testkit"
)

const (
	smokeNamespace = "e2e-smoke"
	// docsLimit is the time limit for all documented commands, image builds included.
	docsLimit = 30 * time.Minute
)

func (e *environment) smoke(ctx context.Context, r *suite.Results) error {
	return steps(ctx, r, []step{
		{
			"kubectl apply -k of deploy/base and deploy/connect-scheduler installs a running service",
			stepLimit,
			func(ctx context.Context) (string, error) {
				return "2 replicas available", e.install(ctx, "connect-scheduler")
			},
		},
		{
			"kubectl apply -k of deploy/base and deploy/drain-cleaner installs a running service",
			stepLimit,
			func(ctx context.Context) (string, error) {
				return "2 replicas available", e.install(ctx, "drain-cleaner")
			},
		},
		{"a Kafka broker runs in the cluster", setupLimit, func(ctx context.Context) (string, error) {
			return "it creates topics", e.oneBroker(ctx, smokeNamespace)
		}},
		{"a connector becomes Ready and moves records", stepLimit, func(ctx context.Context) (string, error) {
			return e.firstRecord(ctx, smokeNamespace)
		}},
		{
			"drain-cleaner denies the eviction of a broker and requests a rolling restart",
			stepLimit,
			func(ctx context.Context) (string, error) {
				return e.evictionDenied(ctx, smokeNamespace)
			},
		},
		{"idle services use less memory than they request", stepLimit, e.idleMemory},
		{"the commands of the documentation work", docsLimit, e.documentation},
	})
}

// firstRecord measures the time from kubectl apply to the first record.
func (e *environment) firstRecord(ctx context.Context, namespace string) (string, error) {
	applied := time.Now()
	if err := e.ApplyFile(ctx, namespace, "file-source.yaml"); err != nil {
		return "", err
	}
	if err := env.Until(ctx, "the first record", func(ctx context.Context) error {
		tally, err := e.Count(ctx, namespace, "lines")
		if err == nil && tally.Records == 0 {
			err = e.explain(ctx, namespace, "lines")
		}
		return err
	}); err != nil {
		return "", err
	}
	first := time.Since(applied)
	_, err := e.Connector(ctx, namespace, "lines", env.Running(1))
	return fmt.Sprintf("first record %.1f s after kubectl apply", first.Seconds()), err
}

// evictionDenied evicts a broker under a policy with mode Delegate.
func (e *environment) evictionDenied(ctx context.Context, namespace string) (string, error) {
	const broker = "kafka-0"
	before, err := e.Kube.CoreV1().Pods(namespace).Get(ctx, broker, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if err := e.ApplyFile(ctx, namespace, "delegate.yaml"); err != nil {
		return "", err
	}
	const policy = "kafkadrainpolicy/kafka"
	if _, err := e.Kubectl(ctx, "wait", "-n", namespace, policy, "--for=condition=Ready", "--timeout=60s"); err != nil {
		return "", err
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: broker}}
	denial := e.Kube.CoreV1().Pods(namespace).EvictV1(ctx, eviction)
	if denial == nil {
		return "", errors.New("the broker was evicted")
	}
	if !strings.Contains(denial.Error(), "denied the request") {
		return "", fmt.Errorf("the eviction failed for another reason than a denial by drain-cleaner: %w", denial)
	}
	err = env.Until(ctx, "the rolling update annotation", func(ctx context.Context) error {
		now, err := e.Kube.CoreV1().Pods(namespace).Get(ctx, broker, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if now.UID != before.UID || now.DeletionTimestamp != nil {
			return testkit.Permanent(errors.New("the broker was deleted"))
		}
		if now.Annotations[contract.ManualRollingUpdate] != "true" {
			return fmt.Errorf("the annotations are %v", now.Annotations)
		}
		return nil
	})
	_, cause, _ := strings.Cut(denial.Error(), "denied the request: ")
	return oneLine(cause, 110), err
}

// idleMemory compares the working set of each service, from the kubelet statistics, with its memory request.
func (e *environment) idleMemory(ctx context.Context) (string, error) {
	began := time.Now()
	pods, err := e.Pods(ctx, system, "app.kubernetes.io/part-of=weir")
	if err != nil {
		return "", err
	}
	task, err := e.Kube.CoreV1().Pods(smokeNamespace).Get(ctx, "lines-tasks-0", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	pods[task.Name] = *task
	var result string
	err = env.Until(ctx, "memory within its request", func(ctx context.Context) error {
		used, err := e.WorkingSets(ctx, began)
		if err != nil {
			return err
		}
		most := map[string]int64{}
		var excess []string
		for _, pod := range pods {
			bytes, found := used[pod.Namespace+"/"+pod.Name]
			if !found {
				return fmt.Errorf("the kubelet has no statistics of %s yet", pod.Name)
			}
			name := "a connect-runner task"
			if pod.Namespace == system {
				name = pod.Labels["app.kubernetes.io/name"]
			}
			most[name] = max(most[name], bytes)
			request := pod.Spec.Containers[0].Resources.Requests.Memory()
			if pod.Namespace == system && bytes > request.Value() {
				excess = append(excess, fmt.Sprintf("%s uses %d MiB and requests %s", pod.Name, bytes>>20, request))
			}
		}
		var uses []string
		for _, name := range slices.Sorted(maps.Keys(most)) {
			uses = append(uses, fmt.Sprintf("%s %d MiB", name, most[name]>>20))
		}
		result = strings.Join(uses, ", ")
		if excess != nil {
			return errors.New(strings.Join(excess, "; "))
		}
		return nil
	})
	return result, err
}
