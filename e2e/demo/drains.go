package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
)

// ofBrokers is the label selector of the brokers in brokers.yaml.
const ofBrokers = "strimzi.io/name=my-cluster-kafka"

// drainsChapter demonstrates drain-cleaner.
var drainsChapter = chapter{
	name:      "drains",
	title:     "a node drain takes no two brokers down",
	service:   "drain-cleaner",
	namespace: "kafka",
	intro: []string{
		"drain-cleaner denies the evictions of Kafka pods and asks Strimzi's operator for their replacement. The demo does",
		"what the operator does. make e2e SUITE=drain drains nodes with real brokers, also without an operator.",
	},
	steps: []step{
		{"Install drain-cleaner and run it with the permissions of its manifests.", 3 * stepLimit, (*demo).installDrains},
		{"Start three brokers with the labels of Strimzi's operator.", stepLimit, (*demo).startBrokers},
		{"Evict a broker from a cordoned node. drain-cleaner says why not.", stepLimit, (*demo).evictBroker},
		{"Drain two nodes at the same time. One broker after the other moves.", 3 * stepLimit, (*demo).drainNodes},
	},
	usage: func(d *demo) *env.Service { return d.cleaner },
	explore: func(*demo) []string {
		return []string{
			"kubectl get pods -L strimzi.io/name -o wide",
			"kubectl drain $(kubectl get nodes -o name | head -1 | cut -d/ -f2) --pod-selector=" + ofBrokers + " --timeout=20s",
			`kubectl get pods -o custom-columns='NAME:.metadata.name,ANNOTATIONS:.metadata.annotations'`,
		}
	},
}

func (d *demo) installDrains(ctx context.Context) error {
	base, err := d.installBase(ctx, "drain-cleaner")
	if err != nil {
		return err
	}
	d.note("skipped", yellow, "%s", strings.Join(byKind(base.Skipped), ", "))
	d.explain("drain-cleaner runs as a local process, and the API server calls it by its address.")
	if err := d.spin("starting drain-cleaner", func() error {
		d.cleaner, err = env.StartDrainCleaner(ctx, d.cp, d.root)
		return err
	}); err != nil {
		return err
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.namespace}}
	if _, err := d.cp.Client().CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", d.namespace, err)
	}
	d.done("drain-cleaner is ready, and the API server trusts the certificate that it has issued (%s).", since(d.began))
	return nil
}

func (d *demo) startBrokers(ctx context.Context) error {
	if err := d.kubectl(ctx, "apply", "-f", "e2e/demo/brokers.yaml"); err != nil {
		return err
	}
	var pods []corev1.Pod
	if err := d.spin("waiting for three brokers", func() error {
		return testkit.Poll(ctx, "the brokers", func(ctx context.Context) (err error) {
			var ready int
			if pods, ready, err = d.brokers(ctx); err == nil && ready != 3 {
				err = fmt.Errorf("%d of 3 brokers are Ready", ready)
			}
			return err
		})
	}); err != nil {
		return err
	}
	rows := [][]string{{"POD", "NODE"}}
	for _, pod := range pods {
		rows = append(rows, []string{pod.Name, pod.Spec.NodeName})
	}
	d.rows(rows)
	d.done("Three brokers are Ready (%s).", since(d.began))
	return nil
}

// brokers returns the brokers in the order of their names, and the number of those that are Ready.
func (d *demo) brokers(ctx context.Context) (pods []corev1.Pod, ready int, err error) {
	list, err := d.cp.Client().CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: ofBrokers})
	if err != nil {
		return nil, 0, fmt.Errorf("list the brokers: %w", err)
	}
	for i := range list.Items {
		if pod := &list.Items[i]; pod.DeletionTimestamp == nil && env.Ready(pod) {
			ready++
		}
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, ready, nil
}

// evictBroker shows the denial. The dry run requests no replacement.
func (d *demo) evictBroker(ctx context.Context) error {
	pods, _, err := d.brokers(ctx)
	if err != nil {
		return err
	}
	if err := d.kubectl(ctx, "cordon", pods[0].Spec.NodeName); err != nil {
		return err
	}
	var denied error
	// drain-cleaner sees that the node is cordoned a moment later.
	if err := testkit.Poll(ctx, "the denial", func(ctx context.Context) error {
		denied = d.cp.Client().PolicyV1().Evictions(d.namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: d.namespace, Name: pods[0].Name},
			DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
		})
		if !apierrors.IsTooManyRequests(denied) {
			return fmt.Errorf("the eviction of %s: %w", pods[0].Name, errors.Join(denied))
		}
		return nil
	}); err != nil {
		return err
	}
	d.explain("%v", denied)
	d.done("The eviction of %s is denied with 429: kubectl drain prints the reason and retries.", pods[0].Name)
	return nil
}

// drainNodes drains the nodes of two brokers, and replaces brokers as Strimzi's operator does: one that has the
// annotation, while all are Ready.
func (d *demo) drainNodes(ctx context.Context) error {
	before, _, err := d.brokers(ctx)
	if err != nil {
		return err
	}
	nodes := []string{before[0].Spec.NodeName}
	for _, pod := range before {
		if len(nodes) < 2 && pod.Spec.NodeName != nodes[0] {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	ended := make(chan error, len(nodes))
	for _, node := range nodes {
		args := []string{"drain", node, "--ignore-daemonsets", "--pod-selector=" + ofBrokers}
		d.screen.line(indent+"%s", d.screen.paint(cyan, "$ kubectl "+strings.Join(args, " ")+" &"))
		go func() {
			_, err := d.cp.Kubectl(ctx, append(args, "--timeout=150s")...)
			ended <- err
		}()
	}
	lowest, drains := len(before), len(nodes)
	if err := testkit.PollEvery(ctx, 50*time.Millisecond, "the drains", func(ctx context.Context) error {
		select {
		case err := <-ended:
			if drains--; err != nil {
				return testkit.Permanent(err)
			}
		default:
		}
		pods, ready, err := d.brokers(ctx)
		if err != nil {
			return err
		}
		lowest = min(lowest, ready)
		if ready == len(before) {
			err = d.replace(ctx, pods)
		}
		if err == nil && (drains > 0 || ready < len(before)) {
			err = fmt.Errorf("%d drains have not completed, %d brokers are Ready", drains, ready)
		}
		return err
	}); err != nil {
		return err
	}
	after, _, err := d.brokers(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"POD", "BEFORE", "AFTER"}}
	for i, pod := range after {
		if slices.Contains(nodes, pod.Spec.NodeName) {
			return fmt.Errorf("%s is on node %s, which was drained", pod.Name, pod.Spec.NodeName)
		}
		rows = append(rows, []string{pod.Name, before[i].Spec.NodeName, pod.Spec.NodeName})
	}
	d.rows(rows)
	if lowest < len(before)-1 {
		return fmt.Errorf("only %d brokers were Ready at some time", lowest)
	}
	d.done("Both drains completed (%s). At least %d of %d brokers were Ready all the time.", since(d.began), lowest,
		len(before))
	for _, node := range nodes {
		if err := d.kubectl(ctx, "uncordon", node); err != nil {
			return err
		}
	}
	return nil
}

// replace deletes one broker whose replacement drain-cleaner has requested.
func (d *demo) replace(ctx context.Context, pods []corev1.Pod) error {
	for _, pod := range pods {
		if pod.Annotations[contract.ManualRollingUpdate] != "true" {
			continue
		}
		d.note("replaced", yellow, "%s, which has the annotation %s", pod.Name, contract.ManualRollingUpdate)
		return d.cp.Client().CoreV1().Pods(d.namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
	}
	return nil
}
