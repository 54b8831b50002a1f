package testkit_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestStartTakesLessThanFifteenSeconds(t *testing.T) {
	// The build of the programs does not count.
	testkit.Shared(t)
	began := time.Now()
	testkit.New(t)
	took := time.Since(began)
	t.Logf("up in %s", took)
	require.Less(t, took, 15*time.Second)
}

const workload = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: example.test/web}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
`

func TestWorkloadsOfAppliedFilesRun(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/workload.yaml", []byte(workload), 0o600))
	applied, err := cp.ApplyFiles(t.Context(), namespace, dir)
	require.NoError(t, err)
	require.Len(t, applied, 2)
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		pods, err := cp.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		ready := 0
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning && pod.Spec.NodeName != "" {
				ready++
			}
		}
		if ready != 2 {
			return fmt.Errorf("%d of 2 pods are running", ready)
		}
		return nil
	})
	out, err := cp.Kubectl(t.Context(), "get", "statefulset", "web", "-n", namespace, "-o", "jsonpath={.spec.replicas}")
	require.NoError(t, err)
	require.Equal(t, "2", out)
}

func TestPausedPodsAreLeftToTheTest(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	for _, name := range []string{"held", "free"} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.test/c"}}},
		}
		if name == "held" {
			pod.Annotations = map[string]string{testkit.PauseAnnotation: ""}
		}
		_, err := cp.Client().CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		pods := cp.Client().CoreV1().Pods(namespace)
		free, err := pods.Get(ctx, "free", metav1.GetOptions{})
		if err != nil {
			return err
		}
		held, err := pods.Get(ctx, "held", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if held.Status.Phase != corev1.PodPending {
			return testkit.Permanent(fmt.Errorf("the held pod is %s", held.Status.Phase))
		}
		if free.Status.Phase != corev1.PodRunning || held.Spec.NodeName == "" {
			return fmt.Errorf("free is %s, held is on node %q", free.Status.Phase, held.Spec.NodeName)
		}
		return nil
	})
}

func TestUsersHaveOnlyTheRightsOfRBAC(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	_, err := cp.ApplyYAML(t.Context(), namespace, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: read}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: read}
subjects:
- {kind: ServiceAccount, name: reader, namespace: `+namespace+`}
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}
`)
	require.NoError(t, err)
	member, err := cp.User("jane", "readers")
	require.NoError(t, err)
	stranger, err := cp.User("joe")
	require.NoError(t, err)
	account, err := cp.ServiceAccount(t.Context(), namespace, "reader")
	require.NoError(t, err)
	list := func(config *rest.Config) error {
		client, err := kubernetes.NewForConfig(config)
		require.NoError(t, err)
		_, err = client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	}
	testkit.Eventually(t, 10*time.Second, func(context.Context) error { return list(member) })
	require.NoError(t, list(account))
	require.NoError(t, list(cp.RESTConfig()))
	require.True(t, apierrors.IsForbidden(list(stranger)), list(stranger))
}

func TestApplyWaitsUntilDefinitionsAreServed(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	_, err := cp.ApplyYAML(t.Context(), cp.Namespace(t), `
apiVersion: test.weir.dev/v1
kind: Thing
metadata: {name: one}
spec: {size: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.test.weir.dev}
spec:
  group: test.weir.dev
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}
`)
	require.NoError(t, err)
}

func TestNodesAreDistributedOverZones(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	names, err := cp.AddNodes(
		t.Context(),
		3,
		testkit.NodePrefix("zoned-"),
		testkit.NodeZones("a", "b"),
		testkit.NodeLabels(map[string]string{"disk": "fast"}),
	)
	require.NoError(t, err)
	var zones []string
	for _, name := range names {
		node, err := cp.Client().CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, "fast", node.Labels["disk"])
		zones = append(zones, node.Labels[corev1.LabelTopologyZone])
		require.NoError(t, cp.Client().CoreV1().Nodes().Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	require.Equal(t, []string{"a", "b", "a"}, zones)
}

func TestErrorContainsTheLogOfAComponentThatDoesNotStart(t *testing.T) {
	t.Parallel()
	testkit.NeedsControlPlane(t)
	_, err := testkit.Start(t.Context(), testkit.Options{APIServerArgs: []string{"--no-such-flag"}})
	require.ErrorContains(t, err, "start kube-apiserver")
	require.ErrorContains(t, err, "unknown flag: --no-such-flag")
}

func TestEventuallyReportsTheLastError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := testkit.Poll(ctx, "the pod", func(context.Context) error { return fmt.Errorf("the pod is pending") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, strings.HasPrefix(err.Error(), "wait for the pod: "), err)
	require.ErrorContains(t, err, "the pod is pending")
}

func TestPauseSuspendsAComponent(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t, testkit.WithNodes(0))
	require.NoError(t, cp.Pause("kube-apiserver"))
	version := func(ctx context.Context) error {
		return cp.Client().CoreV1().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	}
	testkit.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if version(ctx) == nil {
			return fmt.Errorf("kube-apiserver still answers")
		}
		return nil
	})
	require.NoError(t, cp.Resume("kube-apiserver"))
	testkit.Eventually(t, 10*time.Second, version)
	require.NoError(t, cp.Err())
}

func TestErrReportsAComponentThatExits(t *testing.T) {
	t.Parallel()
	testkit.NeedsControlPlane(t)
	cp, err := testkit.Start(t.Context(), testkit.Options{SchedulerArgs: []string{"--no-such-flag"}})
	if err == nil {
		defer func() { require.NoError(t, cp.Stop()) }()
		testkit.Eventually(t, 10*time.Second, func(context.Context) error {
			if err = cp.Err(); err == nil {
				return fmt.Errorf("no fault is noticed")
			}
			return nil
		})
	}
	require.ErrorContains(t, err, "kube-scheduler exited")
	require.ErrorContains(t, err, "unknown flag: --no-such-flag")
}
