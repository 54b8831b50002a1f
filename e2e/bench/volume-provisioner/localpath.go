package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// The model of local-path-provisioner does for each claim what its provisioning does: an event, a helper pod that
// creates the directory, a look at the pod each second until it has succeeded, the deletion of the pod, the
// PersistentVolume, and another event. It has 4 provisioning workers. The helpers succeed at once: the time to schedule
// and start a pod, and to pull its image, is not included.
const (
	localPathWorkers = 4
	// localPathQPS and localPathBurst are the limits of an API client whose configuration sets none.
	localPathQPS   = 5
	localPathBurst = 10
	localPathPoll  = time.Second
)

// runLocalPath measures the model with its default client and with one without limits.
func (r *report) runLocalPath(ctx context.Context, o options, root string) (err error) {
	e, err := newEnvironment(ctx, o.with(min(o.volumes(), 100)), root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	for _, subject := range []struct {
		name       string
		qps, burst int
		rates      *bench.Values
	}{
		{"default", localPathQPS, localPathBurst, &r.localPath},
		{"tuned", qps, burst, &r.localPathTuned},
	} {
		connection := e.cp.RESTConfig()
		connection.QPS, connection.Burst = float32(subject.qps), subject.burst
		client, err := protobufClient(connection)
		if err != nil {
			return err
		}
		bench.Logf("the model of local-path-provisioner creates %d volumes with %d requests per second", o.localPath,
			subject.qps)
		began := time.Now()
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(localPathWorkers)
		for i := range o.localPath {
			name := fmt.Sprintf("pvc-%s-%04d", subject.name, i)
			group.Go(func() error { return e.provision(groupCtx, client, name) })
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("local-path-provisioner: %w", err)
		}
		*subject.rates = append(*subject.rates, float64(o.localPath)/time.Since(began).Seconds())
	}
	return nil
}

// provision makes one volume.
func (e *environment) provision(ctx context.Context, client kubernetes.Interface, name string) error {
	core := client.CoreV1()
	if err := note(ctx, client, name, "Provisioning"); err != nil {
		return err
	}
	helper := &corev1.Pod{
		// The simulated kubelet ignores the pod: the model sets its status.
		ObjectMeta: metav1.ObjectMeta{
			Name: "helper-" + name, Annotations: map[string]string{testkit.PauseAnnotation: "true"},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "helper-pod", Image: "busybox"}},
		},
	}
	pods := core.Pods(namespace)
	created, err := pods.Create(ctx, helper, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create %s: %w", helper.Name, err)
	}
	if err := e.succeed(ctx, created.Name); err != nil {
		return err
	}
	// At first the pod has just been created, so that the first look finds it unfinished.
	if err := bench.Sleep(ctx, localPathPoll); err != nil {
		return err
	}
	if err := testkit.PollEvery(ctx, localPathPoll, helper.Name, func(ctx context.Context) error {
		pod, err := pods.Get(ctx, helper.Name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodSucceeded {
			err = fmt.Errorf("the pod is %s", pod.Status.Phase)
		}
		return err
	}); err != nil {
		return err
	}
	immediately := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	if err := pods.Delete(ctx, helper.Name, immediately); err != nil {
		return fmt.Errorf("delete %s: %w", helper.Name, err)
	}
	if _, err := core.PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: "local-path",
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "/opt/local-path-provisioner/" + name},
			},
		},
	}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return note(ctx, client, name, "ProvisioningSucceeded")
}

// succeed does the work of the kubelet, with a client without limits.
func (e *environment) succeed(ctx context.Context, name string) error {
	patch := []byte(`{"status":{"phase":"Succeeded"}}`)
	_, err := e.kube.CoreV1().Pods(namespace).Patch(ctx, name, "application/merge-patch+json", patch,
		metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("set the status of %s: %w", name, err)
	}
	return nil
}

// note writes an event.
func note(ctx context.Context, client kubernetes.Interface, name, reason string) error {
	_, err := client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: name + "."},
		InvolvedObject: corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: namespace, Name: name},
		Reason:         reason, Type: corev1.EventTypeNormal, Message: reason,
		FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(), Count: 1,
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("write an event of %s: %w", name, err)
	}
	return nil
}
