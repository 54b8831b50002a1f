//go:build linux

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// retryInterval is the delay after which a pod's preparation is repeated, for example while a Secret is missing.
const retryInterval = 500 * time.Millisecond

// hostIP is the address that nodes report.
const hostIP = "127.0.0.1"

// worker runs one pod. Only its goroutine uses the fields below mu's.
type worker struct {
	node            *Node
	namespace, name string
	dir             string
	// changes has the latest observation of the pod.
	changes chan observation
	// calls are functions of other goroutines that need the worker's state.
	calls chan func()

	pod     *corev1.Pod
	deleted bool
	network *network
	volumes map[string]*volume
	init    []*container
	main    []*container
	// problem is why the containers cannot be created.
	problem  error
	started  metav1.Time
	reported corev1.PodStatus
}

type observation struct {
	pod     *corev1.Pod
	deleted bool
}

func newWorker(n *Node, pod *corev1.Pod) *worker {
	w := &worker{
		node: n, namespace: pod.Namespace, name: pod.Name, dir: filepath.Join(n.dir, "pods", string(pod.UID)),
		changes: make(chan observation, 1), calls: make(chan func()), pod: pod, volumes: map[string]*volume{},
		started: metav1.Now(),
	}
	for _, c := range pod.Spec.InitContainers {
		w.init = append(w.init, newContainer(w, c))
	}
	for _, c := range pod.Spec.Containers {
		w.main = append(w.main, newContainer(w, c))
	}
	return w
}

// observe replaces the observation that the worker has not yet seen. Only one goroutine calls it.
func (w *worker) observe(pod *corev1.Pod, deleted bool) {
	select {
	case <-w.changes:
	default:
	}
	w.changes <- observation{pod, deleted}
}

// signal signals all running containers and returns their number.
func (w *worker) signal(signal syscall.Signal) int {
	sent := 0
	for _, c := range append(w.init[:len(w.init):len(w.init)], w.main...) {
		if c.signal(signal) {
			sent++
		}
	}
	return sent
}

// run runs the pod until it is deleted or the node stops.
func (w *worker) run(ctx context.Context) {
	defer w.cleanUp()
	refresh := time.NewTicker(w.node.config.Refresh)
	defer refresh.Stop()
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	for {
		if w.deleted || ctx.Err() != nil {
			return
		}
		if w.pod.DeletionTimestamp != nil {
			w.terminate(ctx)
			return
		}
		w.proceed(ctx)
		w.report(ctx)
		select {
		case <-ctx.Done():
		case o := <-w.changes:
			w.pod, w.deleted = o.pod, o.deleted
		case call := <-w.calls:
			call()
		case <-retry.C:
		case <-refresh.C:
			for _, v := range w.volumes {
				// An object that is missing for a while keeps its files, as with a real kubelet.
				_ = v.sync(ctx)
			}
		}
	}
}

// proceed starts what can be started: first each init container, then the others.
func (w *worker) proceed(ctx context.Context) {
	if w.problem = w.prepare(ctx); w.problem != nil {
		return
	}
	for _, c := range w.init {
		if !c.succeeded() {
			c.proceed(ctx, w.pod.Spec.RestartPolicy != corev1.RestartPolicyNever)
			return
		}
	}
	for _, c := range w.main {
		c.proceed(ctx, c.restarts(w.pod.Spec.RestartPolicy))
	}
}

// prepare creates the network and the volumes that do not exist yet.
func (w *worker) prepare(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	if w.network == nil {
		number := count.pods.Add(1)
		address := fmt.Sprintf("10.244.%d.%d", number/250%250, number%250+1)
		port, err := serverPort(w.node.server)
		if err != nil {
			return err
		}
		if w.network, err = newNetwork(ctx, address, append([]int{port}, w.node.config.Ports...)); err != nil {
			return err
		}
	}
	for _, v := range w.pod.Spec.Volumes {
		if w.volumes[v.Name] != nil {
			continue
		}
		created, err := w.volumeOf(ctx, v)
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
		w.volumes[v.Name] = created
	}
	return nil
}

// check returns an error if the pod uses what this kubelet does not implement.
func (w *worker) check() error {
	spec := w.pod.Spec
	switch {
	case spec.HostNetwork, spec.HostPID, spec.HostIPC:
		return unsupported("namespaces of the host")
	case len(spec.EphemeralContainers) > 0:
		return unsupported("ephemeral containers")
	}
	for _, c := range spec.InitContainers {
		if c.RestartPolicy != nil {
			return unsupported("restartPolicy of init container " + c.Name)
		}
	}
	for _, c := range append(spec.InitContainers[:len(spec.InitContainers):len(spec.InitContainers)], spec.Containers...) {
		if c.Lifecycle != nil {
			return unsupported("lifecycle of container " + c.Name)
		}
		if ptr.Deref(ptr.Deref(c.SecurityContext, corev1.SecurityContext{}).Privileged, false) {
			return unsupported("privileged of container " + c.Name)
		}
		for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if p != nil && p.HTTPGet == nil && p.TCPSocket == nil {
				return unsupported("exec and grpc probes: container " + c.Name)
			}
		}
	}
	return nil
}

// terminate stops the containers within the grace period and removes the pod from the API.
func (w *worker) terminate(ctx context.Context) {
	grace := time.Duration(ptr.Deref(w.pod.DeletionGracePeriodSeconds, 30)) * time.Second
	w.signal(syscall.SIGTERM)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for w.runs() {
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			w.signal(syscall.SIGKILL)
		case call := <-w.calls:
			call()
		case o := <-w.changes:
			w.pod, w.deleted = o.pod, o.deleted
			shorter := time.Duration(ptr.Deref(w.pod.DeletionGracePeriodSeconds, 30)) * time.Second
			if w.deleted || shorter < grace {
				grace = shorter
				deadline.Reset(time.Until(w.pod.DeletionTimestamp.Time))
			}
		}
	}
	w.report(ctx)
	if w.node.lost.Load() {
		return
	}
	err := w.node.client.CoreV1().Pods(w.namespace).Delete(ctx, w.name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &w.pod.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		w.node.logf("delete pod %s/%s: %v", w.namespace, w.name, err)
	}
}

func (w *worker) runs() bool {
	for _, c := range append(w.init[:len(w.init):len(w.init)], w.main...) {
		if c.status.State.Running != nil {
			return true
		}
	}
	return false
}

// cleanUp kills the containers and removes the files of the pod. The kernel ends the namespaces.
func (w *worker) cleanUp() {
	w.signal(syscall.SIGKILL)
	for w.runs() {
		call := <-w.calls
		call()
	}
	var errs []error
	if w.network != nil {
		errs = append(errs, w.network.close())
	}
	errs = append(errs, os.RemoveAll(w.dir))
	if err := errors.Join(errs...); err != nil {
		w.node.logf("clean up pod %s/%s: %v", w.namespace, w.name, err)
	}
}

// call runs f on the goroutine of the worker.
func (w *worker) call(f func()) { w.calls <- f }
