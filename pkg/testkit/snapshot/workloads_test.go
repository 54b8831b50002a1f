package snapshot_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const workloads = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec: {containers: [{name: store, image: example.test/store}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.test/web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: once, image: example.test/once}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
`

func TestWorkloadsOfTwoNamespacesAreTheSame(t *testing.T) {
	cp := testkit.Shared(t)
	resource := func(group, version, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	}
	listings := snapshot.Namespaced(
		resource(
			"apps",
			"v1",
			"statefulsets",
		),
		resource("apps", "v1", "deployments"),
		resource("apps", "v1", "replicasets"),
		resource(
			"apps",
			"v1",
			"controllerrevisions",
		),
		resource("batch", "v1", "jobs"),
		resource("policy", "v1", "poddisruptionbudgets"),
		resource(
			"",
			"v1",
			"pods",
		),
		resource("", "v1", "services"),
		resource("", "v1", "configmaps"),
		resource("", "v1", "serviceaccounts"),
		resource("", "v1", "persistentvolumeclaims"),
		resource("discovery.k8s.io", "v1", "endpointslices"),
	)
	namespaces := []string{cp.Namespace(t), cp.Namespace(t)}
	for _, namespace := range namespaces {
		_, err := cp.ApplyYAML(t.Context(), namespace, workloads)
		require.NoError(t, err)
	}
	var one, other snapshot.Snapshot
	testkit.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		for _, namespace := range namespaces {
			pods, err := cp.Client().
				CoreV1().
				Pods(namespace).
				List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=" + string(corev1.PodPending)})
			if err != nil || len(pods.Items) < 4 {
				return fmt.Errorf("there are %d pods that run or ran: %w", len(pods.Items), err)
			}
		}
		var err error
		if one, err = snapshot.Take(ctx, cp.Dynamic(), namespaces[0], listings); err != nil {
			return err
		}
		if other, err = snapshot.Take(ctx, cp.Dynamic(), namespaces[1], listings); err != nil {
			return err
		}
		if difference := one.Diff(other); difference != "" {
			return fmt.Errorf("they differ:\n%s", difference)
		}
		return nil
	})
	require.Subset(
		t,
		slices.Collect(maps.Keys(one)),
		[]string{"StatefulSet/store", "Pod/store-0", "PersistentVolumeClaim/data-store-0", "Job/once"},
	)
}
