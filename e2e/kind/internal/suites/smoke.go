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

const smokeSpace = "e2e-smoke"

func (e *environment) smoke(ctx context.Context, p *suite.Proof) error {
	err := steps(ctx, p, []step{
		{"kubectl apply -k deploy/connect-scheduler is all that connect-scheduler needs", patience, func(ctx context.Context) (string, error) {
			return "2 replicas available", e.install(ctx, "connect-scheduler", "connect-scheduler")
		}},
		{"kubectl apply -k deploy/drain-cleaner is all that drain-cleaner needs", patience, func(ctx context.Context) (string, error) {
			return "2 replicas available", e.install(ctx, "drain-cleaner", "weir-drain-cleaner")
		}},
		{"a Kafka broker runs in the cluster", setup, func(ctx context.Context) (string, error) {
			return "it makes topics", e.oneBroker(ctx, smokeSpace)
		}},
	})
	if err != nil {
		return err
	}
	return steps(ctx, p, []step{
		{"a connector's pods get ready on real kubelets, and it moves records", patience, func(ctx context.Context) (string, error) {
			return e.firstRecord(ctx, smokeSpace)
		}},
		{"an eviction of a broker becomes a request to roll it, and the broker stays", patience, func(ctx context.Context) (string, error) {
			return e.evictionBecomesRequest(ctx, smokeSpace)
		}},
		{"at rest each service needs less memory than deploy/ requests for it", patience, e.memoryAtRest},
	})
}

func (e *environment) firstRecord(ctx context.Context, namespace string) (string, error) {
	applied := time.Now()
	if err := e.ApplyFile(ctx, namespace, "file-source.yaml"); err != nil {
		return "", err
	}
	if err := env.Until(ctx, "the first record", func(ctx context.Context) error {
		tally, err := e.Count(ctx, namespace, "lines")
		if err == nil && tally.Records == 0 {
			err = e.why(ctx, namespace, "lines")
		}
		return err
	}); err != nil {
		return "", err
	}
	first := time.Since(applied)
	_, err := e.Connector(ctx, namespace, "lines", env.Running(1))
	return fmt.Sprintf("first record %.1f s after kubectl apply", first.Seconds()), err
}

func (e *environment) evictionBecomesRequest(ctx context.Context, namespace string) (string, error) {
	const broker = "kafka-0"
	before, err := e.Kube.CoreV1().Pods(namespace).Get(ctx, broker, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if err := e.ApplyFile(ctx, namespace, "delegate.yaml"); err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "wait", "-n", namespace, "kafkadrainpolicy/kafka", "--for=condition=Ready", "--timeout=60s"); err != nil {
		return "", err
	}
	refusal := e.Kube.CoreV1().Pods(namespace).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: broker}})
	if refusal == nil {
		return "", errors.New("it was evicted")
	}
	if !strings.Contains(refusal.Error(), "denied the request") {
		return "", fmt.Errorf("drain-cleaner had no part in it: %w", refusal)
	}
	err = env.Until(ctx, "the request to roll", func(ctx context.Context) error {
		now, err := e.Kube.CoreV1().Pods(namespace).Get(ctx, broker, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if now.UID != before.UID || now.DeletionTimestamp != nil {
			return testkit.Permanent(errors.New("the broker did not stay"))
		}
		if now.Annotations[contract.ManualRollingUpdate] != "true" {
			return fmt.Errorf("its annotations are %v", now.Annotations)
		}
		return nil
	})
	_, why, _ := strings.Cut(refusal.Error(), "denied the request: ")
	return oneLine(why, 110), err
}

// memoryAtRest asks the kubelets, as Kubernetes' own metrics do.
func (e *environment) memoryAtRest(ctx context.Context) (string, error) {
	began := time.Now()
	pods, err := e.Pods(ctx, system, "app.kubernetes.io/part-of=weir")
	if err != nil {
		return "", err
	}
	task, err := e.Kube.CoreV1().Pods(smokeSpace).Get(ctx, "lines-tasks-0", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	pods[task.Name] = *task
	var seen string
	err = env.Until(ctx, "memory within its request", func(ctx context.Context) error {
		used, err := e.WorkingSets(ctx, began)
		if err != nil {
			return err
		}
		most := map[string]int64{}
		var excess []string
		for _, pod := range pods {
			bytes, told := used[pod.Namespace+"/"+pod.Name]
			if !told {
				return fmt.Errorf("the kubelet has not looked at %s yet", pod.Name)
			}
			name := "a task of connect-runner"
			if pod.Namespace == system {
				name = pod.Labels["app.kubernetes.io/name"]
			}
			most[name] = max(most[name], bytes)
			if request := pod.Spec.Containers[0].Resources.Requests.Memory(); pod.Namespace == system && bytes > request.Value() {
				excess = append(excess, fmt.Sprintf("%s needs %d MiB, more than the %s that are requested", pod.Name, bytes>>20, request))
			}
		}
		var told []string
		for _, name := range slices.Sorted(maps.Keys(most)) {
			told = append(told, fmt.Sprintf("%s %d MiB", name, most[name]>>20))
		}
		seen = strings.Join(told, ", ")
		if excess != nil {
			return errors.New(strings.Join(excess, "; "))
		}
		return nil
	})
	return seen, err
}
