package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/pkg/testkit"
	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

const ownPods = "app.kubernetes.io/name=drain-cleaner"

// kubelet runs a replica for each pod of drain-cleaner's Deployment and stops it when the pod is deleted. As on a node,
// the process is stopped at the same time as the endpoint is removed, so that reviews still reach it for a while.
type kubelet struct {
	*testenv.Env
	mu      sync.Mutex
	running map[types.UID]*process
	faults  []error
	wait    sync.WaitGroup
}

type process struct {
	ip, address string
	end         func() error
	ending      bool
}

// run runs replicas until ctx ends, and then stops all of them.
func (k *kubelet) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = testkit.Poll(ctx, "the end", func(ctx context.Context) error {
			return errors.Join(k.sync(ctx), k.route(ctx), errors.New("the kubelet runs until the test ends"))
		})
	}
	k.wait.Wait()
	for _, p := range k.running {
		if !p.ending {
			k.fault(p.end())
		}
	}
}

func (k *kubelet) fault(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.faults = append(k.faults, err)
	}
}

func (k *kubelet) sync(ctx context.Context) error {
	pods, err := k.Client().CoreV1().Pods(testenv.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ownPods})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range pods.Items {
		pod := &pods.Items[i]
		p := k.running[pod.UID]
		switch {
		case pod.Spec.NodeName != "" && p == nil:
			p = &process{ip: fmt.Sprintf("10.9.8.%d", len(k.running)+1)}
			k.running[pod.UID] = p
			k.wait.Go(func() { k.fault(k.start(context.WithoutCancel(ctx), pod, p)) })
		case pod.DeletionTimestamp != nil && p != nil && p.end != nil && !p.ending:
			p.ending = true
			k.wait.Go(func() { k.fault(k.stop(context.WithoutCancel(ctx), pod, p)) })
		}
	}
	return nil
}

func (k *kubelet) start(ctx context.Context, pod *corev1.Pod, p *process) error {
	address, end, err := k.StartProcess(ctx, pod.Name, func(c *draincleaner.Config) { c.ShutdownDelay = 3 * time.Second })
	if err != nil {
		return fmt.Errorf("start %s: %w", pod.Name, err)
	}
	ready, cancel := context.WithTimeout(ctx, testenv.Timeout/2)
	defer cancel()
	if err := testenv.WaitForCertificate(ready, address); err != nil {
		return errors.Join(err, end())
	}
	now := metav1.Now()
	pod = pod.DeepCopy()
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs, pod.Status.StartTime = corev1.PodRunning, p.ip, []corev1.PodIP{
		{IP: p.ip},
	}, &now
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(
			pod.Status.Conditions,
			corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now},
		)
	}
	pod.ResourceVersion = ""
	k.mu.Lock()
	p.address, p.end = address, end
	k.mu.Unlock()
	_, err = k.Client().CoreV1().Pods(testenv.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

func (k *kubelet) stop(ctx context.Context, pod *corev1.Pod, p *process) error {
	err := p.end()
	return errors.Join(err, k.Client().CoreV1().Pods(testenv.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &pod.UID},
	}))
}

// route updates the balancer from the Service's endpoints, as kube-proxy does.
func (k *kubelet) route(ctx context.Context) error {
	known, err := k.Client().
		DiscoveryV1().
		EndpointSlices(testenv.Namespace).
		List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=drain-cleaner"})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var backends []string
	for _, slice := range known.Items {
		for _, endpoint := range slice.Endpoints {
			for _, p := range k.running {
				if endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready && p.ip == endpoint.Addresses[0] {
					backends = append(backends, p.address)
				}
			}
		}
	}
	k.Balancer.Set(backends)
	return nil
}

// deploy applies the Deployment, PodDisruptionBudget and Service of the base for pods that the test's kubelet runs.
func deploy(t *testing.T, env *testenv.Env) {
	t.Helper()
	objects, err := testenv.Base(t.Context(), env.ControlPlane)
	require.NoError(t, err)
	var wanted []*unstructured.Unstructured
	for _, o := range objects {
		switch o.GetKind() {
		case "Deployment":
			require.NoError(
				t,
				unstructured.SetNestedField(
					o.Object,
					"theirs",
					"spec",
					"template",
					"metadata",
					"annotations",
					testkit.PauseAnnotation,
				),
			)
			require.NoError(
				t,
				unstructured.SetNestedStringMap(
					o.Object,
					map[string]string{"test": testenv.NodeLabel(t)},
					"spec",
					"template",
					"spec",
					"nodeSelector",
				),
			)
		case "PodDisruptionBudget", "Service":
		default:
			continue
		}
		wanted = append(wanted, o)
	}
	require.Len(t, wanted, 3)
	_, err = env.Apply(t.Context(), "", wanted...)
	require.NoError(t, err)
}

// ownReady waits until two replicas are ready on other nodes than left, and returns their nodes.
func ownReady(t *testing.T, env *testenv.Env, left string) []string {
	t.Helper()
	var nodes []string
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		pods, err := env.Client().CoreV1().Pods(testenv.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ownPods})
		if err != nil {
			return err
		}
		nodes = nil
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning && pod.Spec.NodeName != left {
				nodes = append(nodes, pod.Spec.NodeName)
			}
		}
		if len(nodes) != 2 {
			return fmt.Errorf("ready on %v", nodes)
		}
		return nil
	})
	slices.Sort(nodes)
	return nodes
}

// evictions evicts one pod without a pause and counts the results.
type evictions struct {
	passed, denied, failed atomic.Int32
	first                  atomic.Pointer[error]
	stop                   func()
}

func startEvictions(t *testing.T, env *testenv.Env, namespace, name string) *evictions {
	t.Helper()
	s := &evictions{}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				switch err := env.Evict(ctx, namespace, name, ""); {
				case err == nil:
					s.passed.Add(1)
				case apierrors.IsTooManyRequests(err):
					s.denied.Add(1)
				case ctx.Err() == nil:
					s.failed.Add(1)
					s.first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	s.stop = func() { cancel(); all.Wait() }
	t.Cleanup(s.stop)
	return s
}

// The nodes of drain-cleaner's own replicas are drained one after another, the last one with both replicas on it.
// Reviews are answered all the time: with failurePolicy Fail an eviction would fail otherwise, and with Ignore it would
// be allowed.
func TestNoEvictionIsMissedWhileDrainCleanersOwnNodesAreDrained(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Timeout)
	defer cancel()
	env, err := testenv.NewWithoutReplicas(ctx, testkit.New(t, testkit.WithNodes(0)))
	require.NoError(t, err)
	kafkaNode := env.AddTestNodes(t, 1)[0]
	ns := env.Namespace(t)
	env.StatefulSet(t, ns, "my-cluster-kafka", 1, testenv.StrimziLabels)
	// Pods of the replicas are not scheduled to this node.
	_, err = env.Kubectl(ctx, "label", "node", kafkaNode, "test-")
	require.NoError(t, err)
	env.AddTestNodes(t, 3)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &kubelet{Env: env, running: map[types.UID]*process{}}
	stopped := make(chan struct{})
	go func() { defer close(stopped); k.run(running) }()
	end := sync.OnceFunc(func() { stop(); <-stopped })
	t.Cleanup(end)
	deploy(t, env)
	require.NoError(t, env.WaitForCABundle(t.Context()))
	nodes := ownReady(t, env, "")
	require.NotEqual(t, nodes[0], nodes[1], "anti-affinity")
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		if err := env.Evict(ctx, ns, "my-cluster-kafka-0", ""); !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("not denied yet: %w", errors.Join(err))
		}
		return nil
	})
	pod := env.Pod(t, ns, "my-cluster-kafka-0")

	failurePolicies := []admissionregistrationv1.FailurePolicyType{
		admissionregistrationv1.Fail, admissionregistrationv1.Ignore,
	}
	for _, policy := range failurePolicies {
		patch := fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":%q}]`, policy)
		_, err := env.Client().
			AdmissionregistrationV1().
			ValidatingWebhookConfigurations().
			Patch(t.Context(), "weir-drain-cleaner", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
		s := startEvictions(t, env, ns, "my-cluster-kafka-0")
		nodes = ownReady(t, env, "")
		for i := range 3 {
			left := nodes[0]
			_, err := env.Drain(t.Context(), left)
			require.NoError(t, err, "the drain of a node with a replica")
			nodes = ownReady(t, env, left)
			t.Logf("drain %d: the replicas left %s and are ready on %v", i+1, left, nodes)
			if i == 0 {
				continue
			}
			if i == 1 {
				require.Equal(t, nodes[0], nodes[1], "there is no other node")
			}
			_, err = env.Kubectl(t.Context(), "uncordon", "-l", "test="+testenv.NodeLabel(t))
			require.NoError(t, err)
		}
		s.stop()
		t.Logf(
			"failurePolicy %s: %d evictions were denied, %d allowed, %d failed because the webhook was not reachable",
			policy,
			s.denied.Load(),
			s.passed.Load(),
			s.failed.Load(),
		)
		if first := s.first.Load(); first != nil {
			assert.NoError(t, *first, "the first failure")
		}
		assert.Zero(t, s.passed.Load(), "allowed evictions")
		assert.Greater(t, s.denied.Load(), int32(500))
	}
	assert.Equal(t, pod.UID, env.Pod(t, ns, "my-cluster-kafka-0").UID)
	end()
	assert.NoError(t, errors.Join(k.faults...))
}
