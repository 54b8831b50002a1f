//go:build linux

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/pkg/testkit"
)

// Image is what a container image contains beyond the root file system of this machine.
type Image struct {
	// Files maps absolute paths in the image to files or directories of this machine. They are read-only.
	Files map[string]string
	// Entrypoint, Cmd, Env, WorkingDir and User have the meaning that they have in a Dockerfile. The default of
	// WorkingDir is /, and that of User is 0.
	Entrypoint, Cmd, Env []string
	WorkingDir           string
	User                 int
}

// Config describes a node.
type Config struct {
	// Name is the name of the node. The default is process-0, process-1, …; other names need the same prefix.
	Name string
	// Labels are added to the node's.
	Labels map[string]string
	// Images are the images that the node can run, by reference.
	Images map[string]Image
	// Ports are ports of this machine's loopback address that pods reach at 127.0.0.1.
	Ports []int
	// Backoff is the delay before the first restart of a failed container; it doubles up to 10 times the value. The
	// default is 1 second.
	Backoff time.Duration
	// Refresh is the interval at which changes of ConfigMaps and Secrets reach the files of volumes. The default is 1
	// second.
	Refresh time.Duration
}

// Node is a running node. Its methods are safe for concurrent use.
type Node struct {
	// Name is the name of the node.
	Name string

	config Config
	dir    string
	client kubernetes.Interface
	server string
	// ctx ends the node's work. lost is true after Stop and Lose: the node then reports nothing.
	ctx     context.Context
	cancel  context.CancelFunc
	lost    atomic.Bool
	mu      sync.Mutex
	workers map[types.UID]*worker
	running sync.WaitGroup
}

// registerTimeout is long enough for a busy machine.
const registerTimeout = time.Minute

// count makes the names of nodes and the addresses of pods unique in this process.
var count struct{ nodes, pods atomic.Uint32 }

// Need skips a test that cannot run containers and says what is missing.
func Need(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		testkit.Skip(t, "containers as processes need root: run the test as root")
	}
	if !initialized {
		t.Fatal("the test package needs a TestMain that calls kubelet.Init")
	}
}

// Start runs a node until the test ends.
func Start(t testing.TB, cp *testkit.ControlPlane, config Config) *Node {
	t.Helper()
	Need(t)
	node, err := New(t.Context(), cp, t.TempDir(), config)
	if err != nil {
		t.Fatalf("start a node: %v", err)
	}
	t.Cleanup(node.Stop)
	return node
}

// New runs a node, with its files in dir, until Stop is called. It returns when pods can be scheduled to the node.
func New(ctx context.Context, cp *testkit.ControlPlane, dir string, config Config) (*Node, error) {
	if config.Name == "" {
		config.Name = fmt.Sprintf("%s%d", testkit.ProcessNodePrefix, count.nodes.Add(1)-1)
	}
	if config.Backoff == 0 {
		config.Backoff = time.Second
	}
	if config.Refresh == 0 {
		config.Refresh = time.Second
	}
	n := &Node{
		Name: config.Name, config: config, dir: filepath.Join(dir, config.Name), client: cp.Client(),
		server: cp.RESTConfig().Host, workers: map[types.UID]*worker{},
	}
	for _, sub := range []string{n.HostDir(), filepath.Join(n.dir, "pods"), filepath.Join(n.dir, "logs")} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return nil, err
		}
	}
	if err := n.writeMachineID(); err != nil {
		return nil, err
	}
	if err := n.register(ctx); err != nil {
		return nil, err
	}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	informer := cache.NewSharedInformer(
		cache.NewListWatchFromClient(n.client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, n.selector()),
		&corev1.Pod{}, 0)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.observe(o.(*corev1.Pod), false) },
		UpdateFunc: func(_, o any) { n.observe(o.(*corev1.Pod), false) },
		DeleteFunc: func(o any) {
			if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			n.observe(o.(*corev1.Pod), true)
		},
	})
	if err != nil {
		return nil, err
	}
	n.running.Go(func() { informer.Run(n.ctx.Done()) })
	return n, nil
}

// writeMachineID gives the node an id of its own.
func (n *Node) writeMachineID() error {
	id := strings.ReplaceAll(string(uuid.NewUUID()), "-", "") + "\n"
	file := filepath.Join(n.HostDir(), "etc", "machine-id")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(id), 0o644) //nolint:gosec // like the file of a machine, which all users can read
}

// register creates the Node and waits until pods can be scheduled to it.
func (n *Node) register(ctx context.Context) error {
	labels := map[string]string{
		corev1.LabelHostname: n.Name, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
	}
	maps.Copy(labels, n.config.Labels)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("32"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("100"),
	}
	nodes := n.client.CoreV1().Nodes()
	_, err := nodes.Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			// kwok ignores paused objects.
			Name: n.Name, Labels: labels, Annotations: map[string]string{testkit.PauseAnnotation: ""},
		},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: hostIP}},
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
				LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create node %s: %w", n.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return testkit.Poll(ctx, "node "+n.Name+" to be schedulable", func(ctx context.Context) error {
		node, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
		if err == nil && len(node.Spec.Taints) > 0 {
			err = fmt.Errorf("it has the taints %v", node.Spec.Taints)
		}
		return err
	})
}

// HostDir is the directory with the paths of the node: the path /mnt/data of a hostPath volume is mnt/data in it.
func (n *Node) HostDir() string { return filepath.Join(n.dir, "host") }

// Log returns the output of all runs of a container.
func (n *Node) Log(namespace, pod, container string) string {
	data, err := os.ReadFile(n.logFile(namespace, pod, container))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(data)
}

func (n *Node) logFile(namespace, pod, container string) string {
	return filepath.Join(n.dir, "logs", namespace+"_"+pod+"_"+container+".log")
}

// Signal sends a signal to the running containers of a pod.
func (n *Node) Signal(namespace, pod string, signal syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	sent := 0
	for _, w := range n.workers {
		if w.namespace == namespace && w.name == pod {
			sent += w.signal(signal)
		}
	}
	if sent == 0 {
		return fmt.Errorf("signal pod %s/%s: no container of it runs on node %s", namespace, pod, n.Name)
	}
	return nil
}

// Lose is the sudden loss of the node: all containers are killed, nothing is reported any more, and the node and its
// pods get the status that the control plane gives them when a node sends no heartbeats. The pods stay in the API
// until something deletes them.
func (n *Node) Lose(ctx context.Context) error {
	n.Stop()
	node, err := n.client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("lose node %s: %w", n.Name, err)
	}
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == corev1.NodeReady {
			c.Status, c.Reason, c.LastTransitionTime = corev1.ConditionUnknown, "NodeStatusUnknown", metav1.Now()
			c.Message = "Kubelet stopped posting node status."
		}
	}
	if _, err := n.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("lose node %s: %w", n.Name, err)
	}
	pods, err := n.client.CoreV1().Pods(metav1.NamespaceAll).
		List(ctx, metav1.ListOptions{FieldSelector: n.selector().String()})
	if err != nil {
		return fmt.Errorf("list the pods of node %s: %w", n.Name, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		for j := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[j]; c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				c.Status, c.Reason, c.LastTransitionTime = corev1.ConditionFalse, "NodeNotReady", metav1.Now()
			}
		}
		_, err := n.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("update the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

func (n *Node) selector() fields.Selector {
	return fields.OneTermEqualSelector("spec.nodeName", n.Name)
}

// Stop kills all containers and waits until they have ended. It does not change any object.
func (n *Node) Stop() {
	n.lost.Store(true)
	n.cancel()
	n.running.Wait()
}

// observe passes the latest version of a pod to its worker.
func (n *Node) observe(pod *corev1.Pod, deleted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w, found := n.workers[pod.UID]
	if !found {
		if deleted || n.ctx.Err() != nil {
			return
		}
		w = newWorker(n, pod)
		n.workers[pod.UID] = w
		n.running.Go(func() {
			w.run(n.ctx)
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.workers, pod.UID)
		})
	}
	w.observe(pod, deleted)
}
