package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// manyPolicies is the service with many policies that select one pod each.
type manyPolicies struct {
	*environment
	options
	weir    versioned.Interface
	subject *subject
	// baseline is the resident memory without policies in MiB.
	baseline float64
}

// measurePolicies creates policies, waits, and drains a node.
func measurePolicies(ctx context.Context, o options, e *environment) (err error) {
	m := &manyPolicies{environment: e, options: o}
	if m.weir, err = versioned.NewForConfig(e.RESTConfig()); err != nil {
		return fmt.Errorf("create the client: %w", err)
	}
	if err := m.createSelectedPods(ctx); err != nil {
		return err
	}
	if m.subject, err = e.startWeir(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.subject.stop()) }()
	if err := bench.Sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	m.baseline, _ = bench.Memory(m.subject.pid())

	if o.cost != "" {
		return m.measureCost(ctx)
	}
	fmt.Printf("\n%d policies in %d namespaces with one pod each\n", o.policies, o.namespaces)
	fmt.Printf("%-32s %9s %9s %9s %9s %9s %9s   %s\n",
		"", "time", "CPU", "reconc.", "writes", "MiB", "peak MiB", "MiB divided by MiB without policies")
	fmt.Printf("%-32s %9s %9s %9s %9s %9.1f\n", "without policies", "", "", "", "", m.baseline)
	if err := m.step(ctx, "until all policies are observed", m.createPolicies); err != nil {
		return err
	}
	idle := func(ctx context.Context) error { return bench.Sleep(ctx, o.idle) }
	if err := m.step(ctx, "idle", idle); err != nil {
		return err
	}
	pods, err := m.podsOfFullestNode(ctx)
	if err != nil {
		return err
	}
	drain := func(ctx context.Context) error { return m.drain(ctx, pods) }
	if err := m.step(ctx, fmt.Sprintf("drain of a node with %d pods", len(pods)), drain); err != nil {
		return err
	}
	return m.step(ctx, "idle after the drain", idle)
}

// measureCost writes what the policies cost until all are observed.
func (m *manyPolicies) measureCost(ctx context.Context) error {
	bench.Logf("creating %d policies", m.policies)
	var took time.Duration
	cost, err := env.MeasureCost(ctx, m.ControlPlane, "drain-cleaner", m.subject.pid(), func() error {
		began := time.Now()
		err := m.createPolicies(ctx)
		took = time.Since(began)
		return err
	})
	if err != nil {
		return err
	}
	cost.Objects, cost.Seconds = m.policies, took.Seconds()
	return cost.Write(m.cost)
}

// step runs an action and prints its costs.
func (m *manyPolicies) step(ctx context.Context, name string, action func(context.Context) error) error {
	bench.Logf("%s", name)
	before, err := env.Scrape(ctx, m.subject.metrics)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := action(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	took := time.Since(started)
	after, err := env.Scrape(ctx, m.subject.metrics)
	if err != nil {
		return err
	}
	resident, peak := bench.Memory(m.subject.pid())
	increase := func(metric string) float64 { return after.Sum(metric) - before.Sum(metric) }
	fmt.Printf("%-32s %8.1fs %8.2fs %9.0f %9.0f %9.1f %9.1f   %.2f\n", name, took.Seconds(),
		increase("process_cpu_seconds_total"), increase("weir_reconciles_total"), increase("weir_api_writes_total"),
		resident, peak, resident/max(m.baseline, 1))
	return nil
}

// names returns the namespace and the name of a policy.
func (m *manyPolicies) names(i int) (namespace, name string) {
	return fmt.Sprintf("bench-%02d", i%m.namespaces), fmt.Sprintf("kafka-%04d", i)
}

func (m *manyPolicies) createSelectedPods(ctx context.Context) error {
	bench.Logf("creating %d pods", m.policies)
	if _, err := m.AddNodes(ctx, m.policies/100+1); err != nil {
		return err
	}
	for i := range m.namespaces {
		namespace, _ := m.names(i)
		if err := m.createNamespaces(ctx, namespace); err != nil {
			return err
		}
	}
	var pods []*corev1.Pod
	for i := range m.policies {
		namespace, name := m.names(i)
		pods = append(pods, newPod(namespace, name+"-0", map[string]string{"policy": name}))
	}
	return m.create(ctx, pods)
}

// createPolicies creates the policies and waits until the service has observed each of them with its pod.
func (m *manyPolicies) createPolicies(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCreates)
	for i := range m.policies {
		namespace, name := m.names(i)
		policy := &drainv1alpha1.KafkaDrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: drainv1alpha1.KafkaDrainPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"policy": name}},
				Mode:        drainv1alpha1.ModeDelegate,
			},
		}
		group.Go(func() error {
			_, err := m.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Create(groupCtx, policy, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create policies: %w", err)
	}
	return m.wait(ctx, "the status of all policies", m.policies, func(p *drainv1alpha1.KafkaDrainPolicy) bool {
		return p.Status.ObservedGeneration == p.Generation && p.Status.Pods == 1
	})
}

// podsOfFullestNode returns the selected pods of the node with the most of them.
func (m *manyPolicies) podsOfFullestNode(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := m.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "policy"})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	byNode, fullest := map[string][]corev1.Pod{}, ""
	for _, pod := range pods.Items {
		node := pod.Spec.NodeName
		if byNode[node] = append(byNode[node], pod); len(byNode[node]) > len(byNode[fullest]) {
			fullest = node
		}
	}
	return byNode[fullest], nil
}

// drain cordons the node of the pods, reviews the eviction of each once, and waits until their policies report it.
func (m *manyPolicies) drain(ctx context.Context, pods []corev1.Pod) error {
	if err := m.cordon(ctx, pods[0].Spec.NodeName); err != nil {
		return err
	}
	client, err := newClient(m.dir)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for _, pod := range pods {
		body, err := newReview(pod.Namespace, pod.Name)
		if err != nil {
			return err
		}
		if wrong := review(ctx, client, m.subject.url, body, false); wrong != "" {
			return fmt.Errorf("review the eviction of %s: %s", pod.Name, wrong)
		}
	}
	return m.wait(ctx, "the policies to report the drain", len(pods), func(p *drainv1alpha1.KafkaDrainPolicy) bool {
		return slices.ContainsFunc(p.Status.Drains, func(d drainv1alpha1.Drain) bool {
			return d.Phase == drainv1alpha1.DrainRolling
		})
	})
}

// wait waits until the condition is true for a number of policies.
func (m *manyPolicies) wait(
	ctx context.Context, what string, number int, condition func(*drainv1alpha1.KafkaDrainPolicy) bool,
) error {
	return testkit.PollEvery(ctx, 500*time.Millisecond, what, func(ctx context.Context) error {
		list, err := m.weir.DrainV1alpha1().KafkaDrainPolicies("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		n := 0
		for i := range list.Items {
			if condition(&list.Items[i]) {
				n++
			}
		}
		if n < number {
			return fmt.Errorf("%d of %d policies", n, number)
		}
		return nil
	})
}
