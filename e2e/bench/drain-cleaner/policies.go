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
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// atOnce is how many objects are made at the same time.
const atOnce = 16

// crowd is many policies with a pod each, and the service that has to do with all of them.
type crowd struct {
	options
	cp   *testkit.ControlPlane
	weir versioned.Interface
	s    *subject
	// empty is its resident memory before there was any policy.
	empty float64
}

// many gives the service policies and pods, then nothing, and then the drain of a node.
func many(ctx context.Context, o options, cp *testkit.ControlPlane, root, dir string) (err error) {
	c := &crowd{options: o, cp: cp}
	if c.weir, err = versioned.NewForConfig(cp.RESTConfig()); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := c.pods(ctx); err != nil {
		return err
	}
	if c.s, err = startService(root, cp)(ctx, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.s.stop()) }()
	if err := bench.Sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	c.empty, _ = bench.Memory(c.s.pid())

	fmt.Printf("\n%d policies in %d namespaces, with a pod each\n", o.policies, o.namespaces)
	fmt.Printf("%-32s %9s %9s %9s %9s %9s %9s   %s\n", "", "took", "CPU", "reconc.", "writes", "MiB", "peak MiB", "MiB, of those without policies")
	fmt.Printf("%-32s %9s %9s %9s %9s %9.1f\n", "without policies", "", "", "", "", c.empty)
	if err := c.step(ctx, "until each is observed", c.policies); err != nil {
		return err
	}
	nothing := func(ctx context.Context) error { return bench.Sleep(ctx, o.idle) }
	if err := c.step(ctx, "nothing happens", nothing); err != nil {
		return err
	}
	drained, err := c.drainable(ctx)
	if err != nil {
		return err
	}
	if err := c.step(ctx, fmt.Sprintf("a node of %d of the pods drains", len(drained)), func(ctx context.Context) error { return c.drain(ctx, dir, drained) }); err != nil {
		return err
	}
	return c.step(ctx, "nothing more happens", nothing)
}

// step prints what it costs the service that something happens.
func (c *crowd) step(ctx context.Context, what string, happens func(context.Context) error) error {
	bench.Logf("%s", what)
	before, err := env.Scrape(ctx, c.s.metrics)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := happens(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took := time.Since(began)
	after, err := env.Scrape(ctx, c.s.metrics)
	if err != nil {
		return err
	}
	resident, peak := bench.Memory(c.s.pid())
	spent := func(name string) float64 { return after.Sum(name) - before.Sum(name) }
	fmt.Printf("%-32s %8.1fs %8.2fs %9.0f %9.0f %9.1f %9.1f   %.2f\n", what, took.Seconds(), spent("process_cpu_seconds_total"),
		spent("weir_reconciles_total"), spent("weir_api_writes_total"), resident, peak, resident/max(c.empty, 1))
	return nil
}

func (c *crowd) place(i int) (namespace, name string) {
	return fmt.Sprintf("bench-%02d", i%c.namespaces), fmt.Sprintf("kafka-%04d", i)
}

// pods makes the pods, and waits until all of them run.
func (c *crowd) pods(ctx context.Context) error {
	bench.Logf("making %d pods", c.options.policies)
	if _, err := c.cp.AddNodes(ctx, c.options.policies/100+1); err != nil {
		return err
	}
	for i := range c.namespaces {
		namespace, _ := c.place(i)
		if _, err := c.cp.Client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create namespace %s: %w", namespace, err)
		}
	}
	if err := c.each(ctx, func(ctx context.Context, namespace, name string) error {
		_, err := c.cp.Client().CoreV1().Pods(namespace).Create(ctx, broker(namespace, name+"-0", map[string]string{"app": name}), metav1.CreateOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("create pods: %w", err)
	}
	return testkit.PollEvery(ctx, time.Second, "all pods to run", func(ctx context.Context) error {
		pods, err := c.cp.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Running"})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d do not", len(pods.Items))
		}
		return err
	})
}

// policies makes the policies, and waits until the service has seen each with its pod.
func (c *crowd) policies(ctx context.Context) error {
	if err := c.each(ctx, func(ctx context.Context, namespace, name string) error {
		_, err := c.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Create(ctx, &drainv1alpha1.KafkaDrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: drainv1alpha1.KafkaDrainPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, Mode: drainv1alpha1.ModeDelegate,
			},
		}, metav1.CreateOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("create policies: %w", err)
	}
	return c.until(ctx, "each policy to be observed", c.options.policies, func(p *drainv1alpha1.KafkaDrainPolicy) bool {
		return p.Status.ObservedGeneration == p.Generation && p.Status.Pods == 1
	})
}

// drainable are the pods of the node with the most of them.
func (c *crowd) drainable(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := c.cp.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "app"})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	of, most := map[string][]corev1.Pod{}, ""
	for _, pod := range pods.Items {
		node := pod.Spec.NodeName
		if of[node] = append(of[node], pod); len(of[node]) > len(of[most]) {
			most = node
		}
	}
	return of[most], nil
}

// drain cordons the node of the pods, asks once for the eviction of each, and waits until their policies tell of it.
func (c *crowd) drain(ctx context.Context, dir string, pods []corev1.Pod) error {
	_, err := c.cp.Client().CoreV1().Nodes().Patch(ctx, pods[0].Spec.NodeName, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("cordon node %s: %w", pods[0].Spec.NodeName, err)
	}
	client, err := newClient(dir)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for _, pod := range pods {
		review, err := reviewOf(pod.Namespace, pod.Name)
		if err != nil {
			return err
		}
		if err := ask(ctx, client, c.s, review); err != nil {
			return fmt.Errorf("review the eviction of %s: %w", pod.Name, err)
		}
	}
	return c.until(ctx, "the policies to tell of the drain", len(pods), func(p *drainv1alpha1.KafkaDrainPolicy) bool {
		return slices.ContainsFunc(p.Status.Drains, func(d drainv1alpha1.Drain) bool { return d.Phase == drainv1alpha1.DrainRolling })
	})
}

// until waits until so many policies are as they should be.
func (c *crowd) until(ctx context.Context, what string, want int, is func(*drainv1alpha1.KafkaDrainPolicy) bool) error {
	return testkit.PollEvery(ctx, 500*time.Millisecond, what, func(ctx context.Context) error {
		list, err := c.weir.DrainV1alpha1().KafkaDrainPolicies("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		are := 0
		for i := range list.Items {
			if is(&list.Items[i]) {
				are++
			}
		}
		if are < want {
			return fmt.Errorf("%d of %d are", are, want)
		}
		return nil
	})
}

// each does something for the namespace and the name of every policy.
func (c *crowd) each(ctx context.Context, do func(ctx context.Context, namespace, name string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range c.options.policies {
		namespace, name := c.place(i)
		group.Go(func() error { return do(ctx, namespace, name) })
	}
	return group.Wait()
}
