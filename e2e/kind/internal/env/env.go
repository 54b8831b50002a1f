// Package env is what a suite sees of a cluster: clients, kubectl, and a namespace of its own.
package env

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
)

// Env is a cluster as its users see it.
type Env struct {
	Kube kubernetes.Interface
	Weir versioned.Interface
	// Root is the directory of the repository.
	Root       string
	kubectl    string
	kubeconfig string
}

// New makes the clients; kubectl is the path of the program.
func New(kubeconfig, kubectl, root string) (*Env, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 50, 100
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	weir, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Env{kube, weir, root, kubectl, kubeconfig}, nil
}

// Kubectl runs kubectl in the root of the repository.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	return e.pipe(ctx, "", args...)
}

// Apply applies a YAML stream to a namespace.
func (e *Env) Apply(ctx context.Context, namespace, stream string) error {
	_, err := e.pipe(ctx, stream, "apply", "--server-side", "-n", namespace, "-f", "-")
	return err
}

// ApplyFile applies a file of this module's manifests to a namespace, with words replaced.
func (e *Env) ApplyFile(ctx context.Context, namespace, file string, replacements ...string) error {
	data, err := os.ReadFile(filepath.Join(e.Root, "e2e", "kind", "manifests", file))
	if err != nil {
		return err
	}
	if err := e.Apply(ctx, namespace, strings.NewReplacer(replacements...).Replace(string(data))); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (e *Env) pipe(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.kubectl, args...)
	cmd.Dir = e.Root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// Namespace makes a namespace anew.
func (e *Env) Namespace(ctx context.Context, name string) error {
	spaces := e.Kube.CoreV1().Namespaces()
	if err := spaces.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return Until(ctx, "a fresh namespace "+name, func(ctx context.Context) error {
		_, err := spaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"pod-security.kubernetes.io/enforce": "baseline"}}}, metav1.CreateOptions{})
		return err
	})
}

// Until waits for a condition, which costs a request, until the context ends.
func Until(ctx context.Context, what string, condition func(context.Context) error) error {
	return testkit.PollEvery(ctx, 500*time.Millisecond, what, condition)
}

// Available waits until a Deployment has all its replicas.
func (e *Env) Available(ctx context.Context, namespace, name string) error {
	return Until(ctx, "deployment "+name, func(ctx context.Context) error {
		d, err := e.Kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas != *d.Spec.Replicas || d.Status.AvailableReplicas != *d.Spec.Replicas {
			return fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
		return nil
	})
}

// Connector waits until a KafkaConnector of the current generation satisfies a condition.
func (e *Env) Connector(ctx context.Context, namespace, name string, holds func(*connectv1.KafkaConnector) error) (*connectv1.KafkaConnector, error) {
	var last *connectv1.KafkaConnector
	err := Until(ctx, "connector "+name, func(ctx context.Context) error {
		c, err := e.Weir.IoV1().KafkaConnectors(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if last = c; c.Status.ObservedGeneration != c.Generation {
			return fmt.Errorf("status is of generation %d, not %d", c.Status.ObservedGeneration, c.Generation)
		}
		return holds(c)
	})
	return last, err
}

// Running holds for a connector that is Ready with so many tasks.
func Running(tasks int32) func(*connectv1.KafkaConnector) error {
	return func(c *connectv1.KafkaConnector) error {
		ready := meta.FindStatusCondition(c.Status.Conditions, "Ready")
		if ready == nil || ready.Status != metav1.ConditionTrue || c.Status.TasksReady != tasks || c.Status.TasksDesired != tasks {
			return fmt.Errorf("state %s, tasks %s, want %d: %s", c.Status.State, c.Status.TaskSummary, tasks, message(ready))
		}
		return nil
	}
}

func message(c *metav1.Condition) string {
	if c == nil {
		return "there is no condition Ready"
	}
	return c.Reason + ": " + c.Message
}

// Pods are the pods of a connector by name.
func (e *Env) Pods(ctx context.Context, namespace, selector string) (map[string]corev1.Pod, error) {
	list, err := e.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	pods := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		pods[pod.Name] = pod
	}
	return pods, nil
}

// WorkingSets are the bytes of memory that each pod cannot give back, by namespace/name, of pods that the kubelets have looked at since.
func (e *Env) WorkingSets(ctx context.Context, since time.Time) (map[string]int64, error) {
	nodes, err := e.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	sets := map[string]int64{}
	for _, node := range nodes.Items {
		data, err := e.Kube.CoreV1().RESTClient().Get().Resource("nodes").Name(node.Name).SubResource("proxy", "stats", "summary").DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask the kubelet of %s for its statistics: %w", node.Name, err)
		}
		var summary struct {
			Pods []struct {
				PodRef struct{ Name, Namespace string }
				Memory struct {
					Time            time.Time
					WorkingSetBytes int64
				}
			}
		}
		if err := json.Unmarshal(data, &summary); err != nil {
			return nil, fmt.Errorf("read the statistics of %s: %w", node.Name, err)
		}
		for _, pod := range summary.Pods {
			if pod.Memory.Time.After(since) && pod.Memory.WorkingSetBytes > 0 {
				sets[pod.PodRef.Namespace+"/"+pod.PodRef.Name] = pod.Memory.WorkingSetBytes
			}
		}
	}
	return sets, nil
}
