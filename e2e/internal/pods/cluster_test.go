//go:build linux

// Package pods tests services with their shipped manifests and real programs in real pods: the pods run as processes on
// the embedded control plane.
package pods

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

const (
	// timeout is long enough for JVMs that start on a busy machine.
	timeout = 3 * time.Minute
	// privileged is the namespace of pods that need the file systems of nodes.
	privileged = "weir-node"
)

func TestMain(m *testing.M) {
	kubelet.Init()
	testkit.Main(m)
}

// cluster is a control plane with nodes whose pods run as processes, and a namespace.
type cluster struct {
	*testing.T
	cp        *testkit.ControlPlane
	nodes     map[string]*kubelet.Node
	namespace string
}

// startCluster starts a control plane and nodes. If the test fails, it prints the objects and the logs of the pods.
func startCluster(t *testing.T, nodes int, config kubelet.Config) *cluster {
	t.Helper()
	c := &cluster{T: t, cp: testkit.New(t, testkit.WithNodes(0)), nodes: map[string]*kubelet.Node{}}
	for range nodes {
		node := kubelet.Start(t, c.cp, config)
		c.nodes[node.Name] = node
	}
	c.namespace = c.cp.Namespace(t)
	t.Cleanup(func() {
		if t.Failed() {
			c.explain(context.Background())
		}
	})
	return c
}

// imageOf returns the image in the manifests of a service.
func imageOf(service string) string { return "ghcr.io/weir-dev/" + service + ":latest" }

// binary builds a service and returns its image.
func binary(t *testing.T, root, service string) kubelet.Image {
	t.Helper()
	require.NoError(t, env.Build(t.Context(), root, service))
	program := "/usr/local/bin/" + service
	return kubelet.Image{
		Files:      map[string]string{program: filepath.Join(root, "bin", service)},
		Entrypoint: []string{program}, User: 65532,
	}
}

// install applies the manifests of a service and waits until its workloads are rolled out.
func (c *cluster) install(root, service string, workloads ...string) {
	c.Helper()
	for _, dir := range []string{"base", service} {
		_, err := c.cp.Kubectl(c.Context(), "apply", "-k", filepath.Join(root, "deploy", dir))
		require.NoError(c, err)
	}
	for _, workload := range workloads {
		namespace := env.Namespace
		if strings.HasPrefix(workload, "daemonset/") {
			namespace = privileged
		}
		_, err := c.cp.Kubectl(c.Context(), "rollout", "status", "-n", namespace, workload, "--timeout="+timeout.String())
		require.NoError(c, err)
	}
}

// explain prints the objects and the end of the logs.
func (c *cluster) explain(ctx context.Context) {
	out, err := c.cp.Kubectl(ctx, "get", "pods,statefulsets,kafkaconnectors,kafkalocalvolumesets,pv,events", "-A",
		"-o", "wide")
	c.Logf("%s%v", out, err)
	pods, err := c.cp.Client().CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		c.Log(err)
		return
	}
	for _, pod := range pods.Items {
		for _, node := range c.nodes {
			if log := node.Log(pod.Namespace, pod.Name, pod.Spec.Containers[0].Name); log != "" {
				lines := strings.Split(log, "\n")
				c.Logf("%s on %s:\n%s", pod.Name, node.Name, strings.Join(lines[max(0, len(lines)-15):], "\n"))
			}
		}
	}
}

func (c *cluster) kubectl(args ...string) string {
	c.Helper()
	out, err := c.cp.Kubectl(c.Context(), append(args, "-n", c.namespace)...)
	require.NoError(c, err)
	return out
}

func (c *cluster) apply(manifest string) {
	c.Helper()
	_, err := c.cp.ApplyYAML(c.Context(), c.namespace, manifest)
	require.NoError(c, err)
}

// pods returns the pods of the namespace.
func (c *cluster) pods(ctx context.Context) []corev1.Pod {
	list, err := c.cp.Client().CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{})
	require.NoError(c, err)
	return list.Items
}

func (c *cluster) pod(name string) *corev1.Pod {
	c.Helper()
	pod, err := c.cp.Client().CoreV1().Pods(c.namespace).Get(c.Context(), name, metav1.GetOptions{})
	require.NoError(c, err)
	return pod
}

// kill kills the containers of all pods of a namespace.
func (c *cluster) kill(namespace string) {
	c.Helper()
	list, err := c.cp.Client().CoreV1().Pods(namespace).List(c.Context(), metav1.ListOptions{})
	require.NoError(c, err)
	require.NotEmpty(c, list.Items)
	for _, pod := range list.Items {
		// A container that is restarting does not run.
		err := c.nodes[pod.Spec.NodeName].Signal(namespace, pod.Name, syscall.SIGKILL)
		if err != nil {
			assert.ErrorContains(c, err, "no container of it runs")
		}
	}
}
