package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
)

// StrimziLabels are the labels of the broker pods of Strimzi's Kafka resource my-cluster.
var StrimziLabels = map[string]string{
	contract.StrimziKind: contract.StrimziKindKafka, contract.StrimziName: "my-cluster-kafka",
}

// KafkaLabels are the labels of broker pods that no operator manages.
var KafkaLabels = map[string]string{"app": "kafka"}

// AddTestNodes adds n nodes that only pods of the test are scheduled to.
func (e *Env) AddTestNodes(t *testing.T, n int) []string {
	t.Helper()
	names, err := e.AddNodes(t.Context(), n, testkit.NodeLabels(map[string]string{"test": NodeLabel(t)}))
	require.NoError(t, err)
	return names
}

// NodeLabel is the value of the label "test" of the test's nodes.
func NodeLabel(t *testing.T) string {
	return strings.ToLower(strings.ReplaceAll(t.Name()[:min(60, len(t.Name()))], "/", "-"))
}

// StatefulSet creates pods with the labels, each on another one of the test's nodes, and waits until they are ready.
func (e *Env) StatefulSet(t *testing.T, namespace, name string, replicas int32, labels map[string]string) {
	t.Helper()
	antiAffinity := &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}},
		},
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, ServiceName: name, PodManagementPolicy: appsv1.ParallelPodManagement,
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{"test": NodeLabel(t)},
			TerminationGracePeriodSeconds: new(int64),
			Containers:                    []corev1.Container{{Name: "kafka", Image: "kafka"}},
			Affinity:                      &corev1.Affinity{PodAntiAffinity: antiAffinity},
		}},
	}}
	_, err := e.Client().AppsV1().StatefulSets(namespace).Create(t.Context(), set, metav1.CreateOptions{})
	require.NoError(t, err)
	e.WaitForReady(t, namespace, name, replicas)
}

// WaitForReady waits until a StatefulSet has that many ready replicas.
func (e *Env) WaitForReady(t *testing.T, namespace, name string, replicas int32) {
	t.Helper()
	testkit.Eventually(t, Timeout, func(ctx context.Context) error {
		s, err := e.Client().AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && s.Status.ReadyReplicas != replicas {
			err = fmt.Errorf("%d of %d pods are ready", s.Status.ReadyReplicas, replicas)
		}
		return err
	})
}

// Pod reads a pod.
func (e *Env) Pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	p, err := e.Client().CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return p
}

// Evict evicts a pod by name. A UID that is not empty is sent as a precondition.
func (e *Env) Evict(ctx context.Context, namespace, name string, uid types.UID, dryRun ...string) error {
	options := &metav1.DeleteOptions{DryRun: dryRun}
	if uid != "" {
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	eviction := &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, DeleteOptions: options,
	}
	return e.Client().PolicyV1().Evictions(namespace).Evict(ctx, eviction)
}

// Cordon runs kubectl cordon.
func (e *Env) Cordon(ctx context.Context, node string) error {
	_, err := e.Kubectl(ctx, "cordon", node)
	return err
}

// Drain runs kubectl drain with a timeout of 100 s, or the one in args, and returns what it prints.
func (e *Env) Drain(ctx context.Context, node string, args ...string) (output string, err error) {
	args = append([]string{"--kubeconfig=" + e.Kubeconfig(), "drain", node, "--ignore-daemonsets",
		"--delete-emptydir-data", "--timeout=100s"}, args...)
	command := exec.CommandContext(ctx, e.kubectl, args...)
	command.Env = append(os.Environ(), "HOME="+os.TempDir())
	var all bytes.Buffer
	command.Stdout, command.Stderr = &all, &all
	err = command.Run()
	return all.String(), err
}

// StartOperator simulates Strimzi's operator: it deletes each pod that has carried the annotation
// strimzi.io/manual-rolling-update for the given time. It returns the number of deletions.
func (e *Env) StartOperator(t *testing.T, namespace string, after time.Duration) *atomic.Int32 {
	t.Helper()
	var rolled atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		firstSeen := map[types.UID]time.Time{}
		_ = testkit.Poll(ctx, "the end of the test", func(ctx context.Context) error {
			pods, err := e.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, p := range pods.Items {
				if p.Annotations[contract.ManualRollingUpdate] != "true" || p.DeletionTimestamp != nil {
					continue
				}
				if firstSeen[p.UID].IsZero() {
					firstSeen[p.UID] = time.Now()
				}
				if time.Since(firstSeen[p.UID]) < after {
					continue
				}
				if e.Client().CoreV1().Pods(namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}) == nil {
					rolled.Add(1)
				}
			}
			return errors.New("the operator runs until the test ends")
		})
	}()
	return &rolled
}
