package suites

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// glusterLateClass is a StorageClass with WaitForFirstConsumer.
const glusterLateClass = "e2e-gluster-late"

// glusterLate schedules pods of claims that wait for them: the scheduler looks for nodes with enough capacity.
func (e *environment) glusterLate(ctx context.Context) (string, error) {
	if err := e.ApplyFile(ctx, glusterNamespace, "gluster-late.yaml", "CLASS", glusterLateClass,
		"STORAGE", glusterStorage); err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "wait", "-n", glusterNamespace, "--for=condition=Ready", "pod/late",
		"--timeout="+(stepLimit/2).String()); err != nil {
		return "", err
	}
	var capacity, refusal string
	err := env.Until(ctx, "the CSIStorageCapacity", func(ctx context.Context) error {
		list, err := e.Kube.StorageV1().CSIStorageCapacities(agents).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, c := range list.Items {
			if c.StorageClassName == glusterLateClass && c.Capacity != nil && !c.Capacity.IsZero() {
				capacity = c.Capacity.String()
			}
		}
		pod, err := e.Kube.CoreV1().Pods(glusterNamespace).Get(ctx, "late-large", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				refusal = c.Message
			}
		}
		if capacity == "" || !strings.Contains(refusal, "did not have enough free storage") {
			return fmt.Errorf("%d CSIStorageCapacities, and the pod with the claim of 1Ti says %q", len(list.Items), refusal)
		}
		return nil
	})
	return "capacity " + capacity + "; a claim of 1Gi is bound with its pod, the pod of one of 1Ti is not scheduled",
		errors.Join(err, e.glusterLateDelete(ctx))
}

// glusterLateDelete deletes the pods, their claims and the StorageClass.
func (e *environment) glusterLateDelete(ctx context.Context) error {
	_, err := e.Kubectl(ctx, "delete", "-n", glusterNamespace, "--ignore-not-found", "pod/late", "pod/late-large",
		"pvc/late", "pvc/late-large")
	if err == nil {
		_, err = e.Kubectl(ctx, "delete", "storageclass", glusterLateClass, "--ignore-not-found")
	}
	return err
}
