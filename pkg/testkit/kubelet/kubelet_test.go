//go:build linux

package kubelet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

// timeout is long enough for a busy machine.
const timeout = time.Minute

func TestMain(m *testing.M) {
	kubelet.Init()
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		if err := serve(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	testkit.Main(m)
}

// serve is the program of the image that the tests run: a server that is ready as soon as it has read its own pod.
func serve() error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	http.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		pod, err := client.CoreV1().Pods(os.Getenv("NAMESPACE")).Get(r.Context(), os.Getenv("HOSTNAME"), metav1.GetOptions{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Println("read pod", pod.Name)
	})
	return http.ListenAndServe(":8080", nil)
}

// start returns a node with the image "shell", and "server", which runs serve.
func start(t *testing.T) (*testkit.ControlPlane, *kubelet.Node, string) {
	t.Helper()
	kubelet.Need(t)
	cp := testkit.Shared(t)
	self, err := os.Executable()
	require.NoError(t, err)
	node := kubelet.Start(t, cp, kubelet.Config{
		Images: map[string]kubelet.Image{
			"shell": {Entrypoint: []string{"sh", "-c"}, User: 65532},
			"server": {
				Files: map[string]string{"/opt/server/serve": self}, Entrypoint: []string{"/opt/server/serve", "serve"},
				User: 65532,
			},
		},
		Backoff: 100 * time.Millisecond, Refresh: 100 * time.Millisecond,
	})
	return cp, node, cp.Namespace(t)
}

// pod returns a pod with one container for the node.
func pod(node *kubelet.Node, name, image string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{corev1.LabelHostname: node.Name},
			TerminationGracePeriodSeconds: ptr.To[int64](5),
			Containers:                    []corev1.Container{{Name: "main", Image: image, Args: args}},
		},
	}
}

func create(t *testing.T, cp *testkit.ControlPlane, namespace string, pod *corev1.Pod) {
	t.Helper()
	_, err := cp.Client().CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
}

// eventually waits until a pod meets a condition.
func eventually(t *testing.T, cp *testkit.ControlPlane, namespace, name string,
	check func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		var err error
		if found, err = cp.Client().CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !check(found) {
			return fmt.Errorf("status %+v", found.Status)
		}
		return nil
	})
	return found
}

func gone(t *testing.T, cp *testkit.ControlPlane, namespace, name string) {
	t.Helper()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		_, err := cp.Client().CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("the pod exists"))
	})
}

func phase(want corev1.PodPhase) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool { return pod.Status.Phase == want }
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func TestFailedContainersRestartWithTheirTerminationMessage(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	create(t, cp, namespace, pod(node, "fails", "shell", `echo no config > /dev/termination-log; exit 7`))
	found := eventually(t, cp, namespace, "fails", func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].RestartCount >= 2
	})
	last := found.Status.ContainerStatuses[0].LastTerminationState.Terminated
	require.NotNil(t, last)
	assert.Equal(t, int32(7), last.ExitCode)
	assert.Equal(t, "no config\n", last.Message)
	assert.Equal(t, corev1.PodRunning, found.Status.Phase)
}

func TestPodsRunToCompletionAfterTheirInitContainers(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	for name, test := range map[string]struct {
		script string
		want   corev1.PodPhase
	}{
		"done":   {`test -e /data/init`, corev1.PodSucceeded},
		"failed": {`exit 3`, corev1.PodFailed},
	} {
		p := pod(node, name, "shell", test.script)
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		data := []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		p.Spec.Volumes = []corev1.Volume{{
			Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
		}}
		p.Spec.Containers[0].VolumeMounts = data
		p.Spec.InitContainers = []corev1.Container{
			{Name: "init", Image: "shell", Args: []string{"touch /data/init"}, VolumeMounts: data},
		}
		create(t, cp, namespace, p)
		eventually(t, cp, namespace, name, phase(test.want))
	}
}

func TestPodIsReadyWhenItsProbeSucceedsWithTheTokenOfItsServiceAccount(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	p := pod(node, "server", "server")
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "NAMESPACE", ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1}
	p.Spec.Containers[0].ReadinessProbe.HTTPGet = &corev1.HTTPGetAction{
		Path: "/readyz", Port: intstr.FromString("http"),
	}
	create(t, cp, namespace, p)
	running := eventually(t, cp, namespace, "server", phase(corev1.PodRunning))
	assert.False(t, ready(running), "its service account may not read pods")

	_, err := cp.Kubectl(t.Context(), "create", "rolebinding", "view", "--clusterrole=view",
		"--serviceaccount="+namespace+":default", "-n", namespace)
	require.NoError(t, err)
	eventually(t, cp, namespace, "server", ready)
	assert.Contains(t, node.Log(namespace, "server", "main"), "read pod server")
}

func TestDeletedPodsEndWithinTheirGracePeriod(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	create(t, cp, namespace, pod(node, "polite", "shell",
		`trap 'echo stopping; exit 0' TERM; echo started; while true; do sleep 0.1; done`))
	create(t, cp, namespace, pod(node, "deaf", "shell", `trap '' TERM; while true; do sleep 0.1; done`))
	for _, name := range []string{"polite", "deaf"} {
		eventually(t, cp, namespace, name, ready)
		if name == "polite" {
			testkit.Eventually(t, timeout, func(context.Context) error {
				if !strings.Contains(node.Log(namespace, name, "main"), "started") {
					return errors.New("not started")
				}
				return nil
			})
		}
		err := cp.Client().CoreV1().Pods(namespace).
			Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](2)})
		require.NoError(t, err)
		gone(t, cp, namespace, name)
	}
	assert.Contains(t, node.Log(namespace, "polite", "main"), "stopping")
}

func TestSignalKillsTheContainersOfAPod(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	create(t, cp, namespace, pod(node, "victim", "shell", `exec sleep 60`))
	eventually(t, cp, namespace, "victim", ready)
	require.NoError(t, node.Signal(namespace, "victim", syscall.SIGKILL))
	eventually(t, cp, namespace, "victim", func(pod *corev1.Pod) bool {
		last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated
		return last != nil && last.ExitCode == 137 && ready(pod)
	})
	require.Error(t, node.Signal(namespace, "other", syscall.SIGKILL))
}

func TestLostNodeReportsNothingAndItsPodsStayUntilTheyAreDeleted(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	create(t, cp, namespace, pod(node, "stays", "shell", `exec sleep 60`))
	before := eventually(t, cp, namespace, "stays", ready)
	require.NoError(t, node.Lose(t.Context()))
	found := eventually(t, cp, namespace, "stays", func(pod *corev1.Pod) bool { return !ready(pod) })
	assert.Equal(t, before.UID, found.UID)
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		lost, err := cp.Client().CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
		if err == nil && !slices.ContainsFunc(lost.Spec.Taints, func(taint corev1.Taint) bool {
			return taint.Key == corev1.TaintNodeUnreachable
		}) {
			err = fmt.Errorf("taints %v", lost.Spec.Taints)
		}
		return err
	})
	assert.NotNil(t, found.Status.ContainerStatuses[0].State.Running, "nothing reports the end of the container")
	require.Error(t, node.Signal(namespace, "stays", syscall.SIGTERM), "its container was killed")
	err := cp.Client().CoreV1().Pods(namespace).
		Delete(t.Context(), "stays", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
	require.NoError(t, err)
	gone(t, cp, namespace, "stays")
}

func TestUnsupportedFieldsAndMissingImagesAreNamed(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	network := pod(node, "network", "shell", "true")
	network.Spec.HostNetwork = true
	hook := pod(node, "hook", "shell", "true")
	hook.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
		Exec: &corev1.ExecAction{Command: []string{"true"}}}}
	image := pod(node, "image", "unknown", "true")
	root := pod(node, "root", "shell", "true")
	root.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](0)}
	for p, want := range map[*corev1.Pod]string{
		network: "namespaces of the host", hook: "lifecycle of container main", image: "has no image unknown",
	} {
		create(t, cp, namespace, p)
		eventually(t, cp, namespace, p.Name, func(pod *corev1.Pod) bool {
			statuses := pod.Status.ContainerStatuses
			return len(statuses) > 0 && statuses[0].State.Waiting != nil &&
				statuses[0].State.Waiting.Reason == "CreateContainerConfigError" &&
				strings.Contains(statuses[0].State.Waiting.Message, want)
		})
	}
	_, err := cp.Client().CoreV1().Pods(namespace).Create(t.Context(), root, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, cp, namespace, "root", func(pod *corev1.Pod) bool {
		statuses := pod.Status.ContainerStatuses
		return len(statuses) > 0 && statuses[0].State.Waiting != nil &&
			strings.Contains(statuses[0].State.Waiting.Message, "runAsNonRoot")
	})
}
