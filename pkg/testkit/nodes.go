package testkit

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type nodeOptions struct {
	prefix      string
	labels      map[string]string
	annotations map[string]string
	zones       []string
	capacity    corev1.ResourceList
	taints      []corev1.Taint
}

// NodeOption changes the default node, which has 32 CPUs, 256 GiB of memory and 500 pods.
type NodeOption func(*nodeOptions)

// NodePrefix sets the prefix of node names. A unique number follows it.
func NodePrefix(prefix string) NodeOption { return func(o *nodeOptions) { o.prefix = prefix } }

// NodeLabels adds labels.
func NodeLabels(labels map[string]string) NodeOption {
	return func(o *nodeOptions) { maps.Copy(o.labels, labels) }
}

// NodeAnnotations adds annotations.
func NodeAnnotations(annotations map[string]string) NodeOption {
	return func(o *nodeOptions) { maps.Copy(o.annotations, annotations) }
}

// NodeZones distributes the nodes over zones.
func NodeZones(zones ...string) NodeOption { return func(o *nodeOptions) { o.zones = zones } }

// NodeCapacity sets the capacity of the given resources.
func NodeCapacity(capacity corev1.ResourceList) NodeOption {
	return func(o *nodeOptions) { maps.Copy(o.capacity, capacity) }
}

// NodeTaints adds taints.
func NodeTaints(taints ...corev1.Taint) NodeOption {
	return func(o *nodeOptions) { o.taints = append(o.taints, taints...) }
}

// AddNodes creates simulated nodes, waits until pods can be scheduled to them, and returns their names.
func (cp *ControlPlane) AddNodes(ctx context.Context, n int, options ...NodeOption) ([]string, error) {
	o := nodeOptions{
		prefix: "node-", labels: map[string]string{}, annotations: map[string]string{},
		capacity: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("32"),
			corev1.ResourceMemory: resource.MustParse("256Gi"),
			corev1.ResourcePods:   resource.MustParse("500"),
		},
	}
	for _, option := range options {
		option(&o)
	}
	names := make([]string, n)
	for i := range names {
		// Zero padding keeps the names in order of creation.
		names[i] = fmt.Sprintf("%s%03d", o.prefix, cp.nodes.Add(1))
		if _, err := cp.client.CoreV1().Nodes().Create(ctx, o.node(names[i], i), metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create node %s: %w", names[i], err)
		}
	}
	for _, name := range names {
		err := cp.poll(
			ctx,
			"node "+name,
			func(ctx context.Context) error { return cp.schedulable(ctx, name, len(o.taints)) },
		)
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (o *nodeOptions) node(name string, i int) *corev1.Node {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: maps.Clone(o.labels), Annotations: maps.Clone(o.annotations)},
		Spec:       corev1.NodeSpec{Taints: o.taints, ProviderID: "kwok://" + name},
		Status:     corev1.NodeStatus{Capacity: o.capacity, Allocatable: o.capacity},
	}
	node.Labels[corev1.LabelHostname] = name
	node.Labels[corev1.LabelOSStable], node.Labels[corev1.LabelArchStable] = "linux", "amd64"
	node.Labels["testkit.weir.dev/index"] = strconv.Itoa(i)
	if len(o.zones) > 0 {
		node.Labels[corev1.LabelTopologyZone] = o.zones[i%len(o.zones)]
	}
	return node
}

// schedulable returns nil if the node is Ready and the taint node.kubernetes.io/not-ready is removed.
func (cp *ControlPlane) schedulable(ctx context.Context, name string, taints int) error {
	node, err := cp.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			if len(node.Spec.Taints) > taints {
				return fmt.Errorf("still tainted: %v", node.Spec.Taints)
			}
			return nil
		}
	}
	return fmt.Errorf("not Ready: %v", node.Status.Conditions)
}
