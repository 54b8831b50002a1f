// Package properties tests the properties that every controller of Weir has.
package properties

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	install    sync.Once
	account    *rest.Config
	installErr error
)

// controlPlane returns the control plane of all tests. No controller runs on it: each test runs its own, one at a time,
// because the controller works for the whole cluster.
func controlPlane(t *testing.T) *testkit.ControlPlane {
	t.Helper()
	cp := testkit.Shared(t)
	install.Do(func() { account, installErr = testenv.Install(context.Background(), cp) })
	if installErr != nil {
		t.Fatal(installErr)
	}
	return cp
}

func addNode(ctx context.Context, env perturb.Env) error {
	return addNamedNode(ctx, env.Client(), env.Namespace+"-node")
}

func addNamedNode(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
	}, metav1.CreateOptions{})
	return err
}

// removeAll removes the objects of a run that are not deleted with its namespace.
func removeAll(ctx context.Context, env perturb.Env) error {
	return removeNode(ctx, env.ControlPlane, env.Namespace, env.Namespace+"-node")
}

func removeNode(ctx context.Context, cp *testkit.ControlPlane, namespace, node string) error {
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	if err != nil {
		return err
	}
	storage, core := weir.StorageV1alpha1(), cp.Client().CoreV1()
	all, now := metav1.ListOptions{}, metav1.DeleteOptions{}
	return errors.Join(
		storage.KafkaLocalVolumeSets(namespace).DeleteCollection(ctx, now, all),
		core.Nodes().Delete(ctx, node, now),
		storage.LocalVolumeNodes().DeleteCollection(ctx, now, all),
		core.PersistentVolumeClaims(namespace).DeleteCollection(ctx, now, all),
		core.PersistentVolumes().DeleteCollection(ctx, now, metav1.ListOptions{LabelSelector: "weir.dev/local-volume=true"}),
	)
}

func resource(group, version, name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: name}
}

func set(namespace string, replicas int, size string) string {
	return fmt.Sprintf(`
apiVersion: storage.weir.dev/v1alpha1
kind: KafkaLocalVolumeSet
metadata: {name: s}
spec:
  replicas: %d
  basePath: /mnt/data/%s
  templates:
  - {name: data, claimNamePattern: "data-%s-{ordinal}", size: %s}
  - {name: log, claimNamePattern: "log-%s-{ordinal}", size: 1Gi}
`, replicas, namespace, namespace, size, namespace)
}

// has returns an error unless the set is Ready with these numbers of ready and bound volumes.
func has(ready string, bound int) func(context.Context, perturb.Env) error {
	return func(ctx context.Context, env perturb.Env) error {
		status, err := env.Kubectl(ctx, "get", "klvs", "s", "-n", env.Namespace, "-o",
			`jsonpath={.status.ready} {.status.bound} {.metadata.generation} {.status.observedGeneration}`)
		if err != nil {
			return err
		}
		var r string
		var b, generation, observed int
		if _, err := fmt.Sscan(status, &r, &b, &generation, &observed); err != nil || r != ready || b != bound ||
			generation != observed {
			return fmt.Errorf("status is %q", status)
		}
		return nil
	}
}
