package properties_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

const statefulSetYAML = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: kafka}
spec:
  replicas: %d
  serviceName: kafka
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: kafka}}
  template:
    metadata: {labels: {app: kafka}}
    spec:
      nodeSelector: {test: %s}
      schedulingGates: [{name: weir.dev/slow}]
      terminationGracePeriodSeconds: 0
      containers: [{name: kafka, image: kafka}]
`

// brokers creates the brokers and waits until they run and the webhook denies their eviction, because their nodes are
// not cordoned.
func brokers(replicas int) perturb.Step {
	return perturb.Step{Name: "the brokers", Run: func(ctx context.Context, env perturb.Env) error {
		if _, err := env.ApplyYAML(ctx, env.Namespace, fmt.Sprintf(statefulSetYAML, replicas, env.Namespace)); err != nil {
			return err
		}
		for i := range replicas {
			err := testkit.Poll(ctx, "the webhook to be called", func(ctx context.Context) error {
				if _, err := running(ctx, env, i); err != nil {
					return err
				}
				if err := evict(ctx, env, i, metav1.DryRunAll); !apierrors.IsTooManyRequests(err) {
					return fmt.Errorf("not denied: %w", errors.Join(err))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

func running(ctx context.Context, env perturb.Env, i int) (*corev1.Pod, error) {
	pod, err := env.Client().CoreV1().Pods(env.Namespace).Get(ctx, fmt.Sprintf("kafka-%d", i), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return pod, isReady(pod)
}

func isReady(pod *corev1.Pod) error {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
			return nil
		}
	}
	return fmt.Errorf("pod %s is not ready", pod.Name)
}

func evict(ctx context.Context, env perturb.Env, i int, dryRun ...string) error {
	return env.Client().PolicyV1().Evictions(env.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: env.Namespace,
			Name:      fmt.Sprintf("kafka-%d", i),
		}, DeleteOptions: &metav1.DeleteOptions{DryRun: dryRun},
	})
}

// unschedulable cordons or uncordons a node.
func unschedulable(ctx context.Context, env perturb.Env, node string, is bool) error {
	patch := fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, is)
	_, err := env.Client().CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// alarmed watches the brokers until stopped. It reports each broker that is deleted while another one is not ready.
func alarmed(ctx context.Context, env perturb.Env, pods []*corev1.Pod) (stop func() error, err error) {
	watch, err := env.Client().
		CoreV1().
		Pods(env.Namespace).
		Watch(ctx, metav1.ListOptions{ResourceVersion: pods[0].ResourceVersion})
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, pod := range pods {
		ready[pod.Name] = true
	}
	alarm := make(chan error, 1)
	go func() {
		var found error
		for event := range watch.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			ready[pod.Name] = event.Type != apiwatch.Deleted && isReady(pod) == nil
			for other, is := range ready {
				if event.Type == apiwatch.Deleted && !is && other != pod.Name {
					found = errors.Join(found, fmt.Errorf("%s was deleted while %s was not ready", pod.Name, other))
				}
			}
		}
		alarm <- found
	}()
	return func() error { watch.Stop(); return <-alarm }, nil
}

// drained cordons the nodes of all brokers, evicts the brokers concurrently as kubectl drain does, and uncordons the
// nodes.
func drained(replicas int) perturb.Step {
	return perturb.Step{Name: "the drain", Run: func(ctx context.Context, env perturb.Env) error {
		nodes := map[string]bool{}
		pods := make([]*corev1.Pod, replicas)
		for i := range pods {
			var err error
			if pods[i], err = running(ctx, env, i); err != nil {
				return err
			}
			nodes[pods[i].Spec.NodeName] = true
		}
		for node := range nodes {
			if err := unschedulable(ctx, env, node, true); err != nil {
				return err
			}
		}
		alarm, err := alarmed(ctx, env, pods)
		if err != nil {
			return err
		}
		errs := make([]error, replicas)
		var all sync.WaitGroup
		for i := range pods {
			all.Go(func() { errs[i] = drain(ctx, env, pods[i], i) })
		}
		all.Wait()
		for i := range pods {
			errs = append(
				errs,
				testkit.Poll(
					ctx,
					"the replacement",
					func(ctx context.Context) error { _, err := running(ctx, env, i); return err },
				),
			)
		}
		errs = append(errs, alarm())
		for node := range nodes {
			errs = append(errs, unschedulable(ctx, env, node, false))
		}
		return errors.Join(errs...)
	}}
}

// drain evicts one pod by name as kubectl drain does. It retries after 429 and succeeds with 404. After another error
// the user would run it again, and it would find the pods that are on the node.
func drain(ctx context.Context, env perturb.Env, pod *corev1.Pod, i int) error {
	return testkit.PollEvery(ctx, 100*time.Millisecond, "the drain of "+pod.Name, func(ctx context.Context) error {
		err := evict(ctx, env, i)
		switch {
		case err == nil:
			return testkit.Poll(ctx, "the deletion of the pod", func(ctx context.Context) error { return left(ctx, env, pod) })
		case apierrors.IsNotFound(err):
			return nil
		case apierrors.IsTooManyRequests(err):
			return err
		}
		if left(ctx, env, pod) == nil {
			return nil
		}
		return err
	})
}

// left returns nil when the pod is gone.
func left(ctx context.Context, env perturb.Env, pod *corev1.Pod) error {
	is, err := env.Client().CoreV1().Pods(env.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil && is.UID == pod.UID:
		return errors.New("the pod is still there")
	}
	return err
}

const removeGates = `[{"op":"remove","path":"/spec/schedulingGates"}]`

// slowly delays the scheduling of the pods of a step. The claim has to delay the other drain for that time, because the
// scripted brokers never report that one is missing.
func slowly(step perturb.Step) perturb.Step {
	run := step.Run
	step.Run = func(ctx context.Context, env perturb.Env) error {
		working, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			seen := map[types.UID]time.Time{}
			_ = testkit.PollEvery(working, 100*time.Millisecond, "the end", func(ctx context.Context) error {
				pods, err := env.Client().CoreV1().Pods(env.Namespace).List(ctx, metav1.ListOptions{})
				if err != nil {
					return err
				}
				for _, p := range pods.Items {
					if seen[p.UID].IsZero() {
						seen[p.UID] = time.Now()
					}
					if len(p.Spec.SchedulingGates) > 0 && time.Since(seen[p.UID]) > time.Second {
						_, err = env.Client().
							CoreV1().
							Pods(env.Namespace).
							Patch(ctx, p.Name, types.JSONPatchType, []byte(removeGates), metav1.PatchOptions{})
					}
				}
				return errors.Join(err, errors.New("runs until the step ends"))
			})
		}()
		defer func() { cancel(); <-done }()
		return run(ctx, env)
	}
	return step
}

// rolling simulates an operator during the step: it deletes each pod with the annotation once.
func rolling(step perturb.Step, wanted int) perturb.Step {
	run := step.Run
	step.Run = func(ctx context.Context, env perturb.Env) error {
		working, cancel := context.WithCancel(ctx)
		rolls, done := 0, make(chan struct{})
		go func() {
			defer close(done)
			_ = testkit.PollEvery(working, 300*time.Millisecond, "the end", func(ctx context.Context) error {
				pods, err := env.Client().CoreV1().Pods(env.Namespace).List(ctx, metav1.ListOptions{})
				for _, p := range pods.Items {
					only := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}}
					if p.Annotations[contract.ManualRollingUpdate] == "true" &&
						env.Client().CoreV1().Pods(env.Namespace).Delete(ctx, p.Name, only) == nil {
						rolls++
					}
				}
				return errors.Join(err, errors.New("runs until the step ends"))
			})
		}()
		err := run(ctx, env)
		cancel()
		<-done
		if err == nil && rolls != wanted {
			err = fmt.Errorf("%d rolls instead of %d", rolls, wanted)
		}
		return err
	}
	return step
}

// atRest returns why the drain is not complete: every broker runs, there is no claim and no annotation, and the status
// has no drain.
func atRest(replicas int) func(context.Context, perturb.Env) error {
	return func(ctx context.Context, env perturb.Env) error {
		for i := range replicas {
			pod, err := running(ctx, env, i)
			if err != nil {
				return err
			}
			if pod.Annotations[contract.ManualRollingUpdate] != "" || pod.Annotations[contract.AnnotationDrain] != "" {
				return fmt.Errorf("pod %s has annotations of a drain: %v", pod.Name, pod.Annotations)
			}
		}
		leases, err := env.Client().CoordinationV1().Leases(env.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(leases.Items) > 0 {
			return fmt.Errorf("there is a claim: %v", leases.Items[0].Annotations)
		}
		return statusIsIdle(ctx, env, replicas)
	}
}

// perturbedDrains replays drains that are delegated to an operator and drains of mode SelfCheck.
func perturbedDrains(t *testing.T, cp *testkit.ControlPlane) {
	for name, test := range map[string]struct {
		brokers int
		policy  func(bootstrap string) string
		drain   perturb.Step
	}{
		"a delegated drain": {brokers: 1, drain: rolling(drained(1), 1), policy: func(string) string {
			return "apiVersion: drain.weir.dev/v1alpha1\nkind: KafkaDrainPolicy\nmetadata: {name: kafka}\n" +
				"spec: {podSelector: {matchLabels: {app: kafka}}}\n"
		}},
		"a self-checked drain of two": {brokers: 2, drain: drained(2), policy: func(bootstrap string) string {
			return "apiVersion: drain.weir.dev/v1alpha1\nkind: KafkaDrainPolicy\nmetadata: {name: kafka}\n" +
				"spec: {podSelector: {matchLabels: {app: kafka}}, mode: SelfCheck, bootstrapServers: \"" + bootstrap + "\"}\n"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := kafkatest.Start(t, testenv.Script("perturbed"))
			perturb.Replay(t, cp, perturb.Scenario{
				Name: name, Subject: reviewing(t), PauseDuration: time.Second,
				Steps: []perturb.Step{
					perturb.Apply("the policy", test.policy(fake.Bootstrap())),
					slowly(brokers(test.brokers)),
					slowly(test.drain),
				},
				Done: atRest(test.brokers),
			})
		})
	}
}
