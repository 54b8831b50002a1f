// Package env gives suites access to the cluster: typed clients, kubectl and common wait conditions.
package env

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// Env gives access to a cluster as cluster administrator.
type Env struct {
	Kube kubernetes.Interface
	Weir versioned.Interface
	// Root is the root directory of the repository.
	Root       string
	kubectl    string
	kubeconfig string
}

// New creates the clients. kubectl is the path of the program.
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

// KubectlPath returns the path of the kubectl program.
func (e *Env) KubectlPath() string { return e.kubectl }

// Kubectl runs kubectl in the root directory of the repository and returns its standard output.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	return e.kubectlWithInput(ctx, "", args...)
}

// Apply applies a YAML stream to a namespace.
func (e *Env) Apply(ctx context.Context, namespace, stream string) error {
	_, err := e.kubectlWithInput(ctx, stream, "apply", "--server-side", "-n", namespace, "-f", "-")
	return err
}

// ApplyFile applies a file in e2e/kind/manifests to a namespace. replacements are pairs of placeholder and value.
func (e *Env) ApplyFile(ctx context.Context, namespace, file string, replacements ...string) error {
	data, err := os.ReadFile(filepath.Join(e.Root, "e2e", "kind", "manifests", file))
	if err != nil {
		return err
	}
	if err := e.Apply(ctx, namespace, strings.NewReplacer(replacements...).Replace(string(data))); err != nil {
		return fmt.Errorf("apply %s: %w", file, err)
	}
	return nil
}

func (e *Env) kubectlWithInput(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.kubectl, args...)
	cmd.Dir = e.Root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf(
			"kubectl %s: %w: %s",
			strings.Join(args, " "),
			err,
			strings.TrimSpace(stderr.String()),
		)
	}
	return stdout.String(), nil
}

// Namespace deletes a namespace if it exists and creates it. Pods must meet the Pod Security level baseline.
func (e *Env) Namespace(ctx context.Context, name string) error {
	namespaces := e.Kube.CoreV1().Namespaces()
	if err := namespaces.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return Until(ctx, "new namespace "+name, func(ctx context.Context) error {
		labels := map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		_, err := namespaces.Create(ctx, namespace, metav1.CreateOptions{})
		return err
	})
}

// Until calls the condition every 500 ms until it returns nil or the context ends. what completes the error "wait
// for ...".
func Until(ctx context.Context, what string, condition func(context.Context) error) error {
	return testkit.PollEvery(ctx, 500*time.Millisecond, what, condition)
}

// Available waits until all replicas of the Deployments that match a label selector are updated and available.
func (e *Env) Available(ctx context.Context, namespace, selector string) error {
	return Until(ctx, "deployments with "+selector, func(ctx context.Context) error {
		options := metav1.ListOptions{LabelSelector: selector}
		deployments, err := e.Kube.AppsV1().Deployments(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		if len(deployments.Items) == 0 {
			return errors.New("no Deployment exists")
		}
		for _, d := range deployments.Items {
			s, replicas := d.Status, *d.Spec.Replicas
			if s.ObservedGeneration != d.Generation || s.UpdatedReplicas != replicas || s.AvailableReplicas != replicas {
				return fmt.Errorf("deployment %s: %d of %d replicas are available", d.Name, s.AvailableReplicas, replicas)
			}
		}
		return nil
	})
}

// Connector waits until the status of the current generation of a KafkaConnector meets a condition.
func (e *Env) Connector(ctx context.Context, namespace, name string,
	condition func(*connectv1.KafkaConnector) error) (*connectv1.KafkaConnector, error) {
	var last *connectv1.KafkaConnector
	err := Until(ctx, "connector "+name, func(ctx context.Context) error {
		c, err := e.Weir.IoV1().KafkaConnectors(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if last = c; c.Status.ObservedGeneration != c.Generation {
			return fmt.Errorf("the status is for generation %d, want %d", c.Status.ObservedGeneration, c.Generation)
		}
		return condition(c)
	})
	return last, err
}

// Running returns a condition: the connector is Ready with a number of tasks.
func Running(tasks int32) func(*connectv1.KafkaConnector) error {
	return func(c *connectv1.KafkaConnector) error {
		ready := meta.FindStatusCondition(c.Status.Conditions, "Ready")
		isReady := ready != nil && ready.Status == metav1.ConditionTrue
		if !isReady || c.Status.TasksReady != tasks || c.Status.TasksDesired != tasks {
			return fmt.Errorf(
				"state %s, tasks %s, want %d: %s",
				c.Status.State,
				c.Status.TaskSummary,
				tasks,
				message(ready),
			)
		}
		return nil
	}
}

func message(c *metav1.Condition) string {
	if c == nil {
		return "the condition Ready is not set"
	}
	return c.Reason + ": " + c.Message
}

// Pods returns the pods that match a label selector, by name.
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

// WorkingSets returns the working set of each pod in bytes by namespace/name, from kubelet statistics newer than
// since.
func (e *Env) WorkingSets(ctx context.Context, since time.Time) (map[string]int64, error) {
	nodes, err := e.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	sets := map[string]int64{}
	for _, node := range nodes.Items {
		request := e.Kube.CoreV1().RESTClient().Get().Resource("nodes").Name(node.Name)
		data, err := request.SubResource("proxy", "stats", "summary").DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("get the kubelet statistics of %s: %w", node.Name, err)
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
			return nil, fmt.Errorf("decode the kubelet statistics of %s: %w", node.Name, err)
		}
		for _, pod := range summary.Pods {
			if pod.Memory.Time.After(since) && pod.Memory.WorkingSetBytes > 0 {
				sets[pod.PodRef.Namespace+"/"+pod.PodRef.Name] = pod.Memory.WorkingSetBytes
			}
		}
	}
	return sets, nil
}
