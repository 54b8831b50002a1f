package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	"github.com/weir-dev/weir/pkg/testkit"
)

// environment is a fresh control plane with nodes for all pods, informers and a fake runner. It is the same for the
// service and the bare client.
type environment struct {
	cp     *testkit.ControlPlane
	kube   kubernetes.Interface
	weir   versioned.Interface
	runner *env.Process
	// stop ends the informers. shutdown waits for them.
	stop     context.CancelFunc
	shutdown []func()

	pods       cache.SharedIndexInformer
	connectors cache.SharedIndexInformer
	// changed receives a value after a change of a pod or connector. Several changes may be one value.
	changed chan struct{}
}

// newEnvironment starts a control plane and everything that both sides need.
func newEnvironment(ctx context.Context, o options, root string) (_ *environment, err error) {
	e := &environment{changed: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.cp, err = testkit.Start(ctx, testkit.Options{Progress: os.Stderr, ControllerManagerArgs: []string{
		// The default of 5 would limit both sides.
		"--concurrent-statefulset-syncs=20",
		"--kube-api-qps=2000", "--kube-api-burst=4000",
	}}); err != nil {
		return nil, err
	}
	// A node takes 500 pods. At half capacity no pod waits for a node.
	if _, err := e.cp.AddNodes(ctx, o.pods()/250+2); err != nil {
		return nil, err
	}
	if _, err := env.Install(ctx, e.cp, root, service); err != nil {
		return nil, err
	}
	worker, err := os.ReadFile(filepath.Join(root, "deploy/examples/connect-scheduler/worker-config.yaml"))
	if err != nil {
		return nil, err
	}
	for i := range o.namespaces {
		name := o.namespace(i)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := e.cp.Client().CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create namespace %s: %w", name, err)
		}
		if _, err := e.cp.ApplyYAML(ctx, name, string(worker)); err != nil {
			return nil, err
		}
	}
	// One token for all connectors: separate tokens would measure the fake runner.
	if e.runner, err = env.StartFakeRunner(e.cp, root, "--as-pod=false"); err != nil {
		return nil, err
	}
	return e, e.watch(ctx)
}

// watch starts the informers and waits until their caches are synced.
func (e *environment) watch(ctx context.Context) error {
	connection := e.cp.RESTConfig()
	var err error
	if e.weir, err = versioned.NewForConfig(connection); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	connection.ContentType = runtime.ContentTypeProtobuf
	if e.kube, err = kubernetes.NewForConfig(connection); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	core := informers.NewSharedInformerFactory(e.kube, 0)
	own := externalversions.NewSharedInformerFactory(e.weir, 0)
	e.pods, e.connectors = core.Core().V1().Pods().Informer(), own.Io().V1().KafkaConnectors().Informer()
	wake := func() {
		select {
		case e.changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{e.pods, e.connectors} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
		}); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	core.Start(ctx.Done())
	own.Start(ctx.Done())
	e.shutdown = []func(){core.Shutdown, own.Shutdown}
	if !cache.WaitForCacheSync(ctx.Done(), e.pods.HasSynced, e.connectors.HasSynced) {
		return errors.New("the informer caches did not sync")
	}
	return nil
}

func (e *environment) close() error {
	if e.stop != nil {
		e.stop()
		for _, shutdown := range e.shutdown {
			shutdown()
		}
	}
	errs := []error{e.runner.Stop()}
	if e.cp != nil {
		errs = append(errs, e.cp.Stop())
	}
	return errors.Join(errs...)
}

// until waits until a condition returns nil. It checks the condition after each change, at most every 5 ms, and
// fails early when a process has ended. what completes the error "wait for ...".
func (e *environment) until(ctx context.Context, what string, s *env.Service, condition func() error) error {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		last := condition()
		if last == nil {
			return nil
		}
		select {
		case <-e.changed:
			<-pause.C
		case <-second.C:
			failures := []error{e.cp.Err(), e.runner.Err()}
			if s != nil {
				failures = append(failures, s.Err())
			}
			if err := errors.Join(failures...); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), last)
		}
	}
}

// podsReady returns nil when at least want pods are Ready.
func (e *environment) podsReady(want int) error {
	ready := 0
	for _, object := range e.pods.GetStore().List() {
		if env.Ready(object.(*corev1.Pod)) {
			ready++
		}
	}
	if ready < want {
		return fmt.Errorf("%d of %d pods are Ready", ready, want)
	}
	return nil
}

// connectorsReady returns nil when at least want connectors are Ready with all tasks.
func (e *environment) connectorsReady(want, tasks int) error {
	ready := 0
	for _, object := range e.connectors.GetStore().List() {
		if isReady(object.(*connectv1.KafkaConnector), tasks) {
			ready++
		}
	}
	if ready < want {
		return fmt.Errorf("%d of %d KafkaConnectors are Ready %d/%d", ready, want, tasks, tasks)
	}
	return nil
}

// isReady reports whether the current generation of a connector is Ready with all tasks.
func isReady(c *connectv1.KafkaConnector, tasks int) bool {
	if c.Status.ObservedGeneration != c.Generation || int(c.Status.TasksReady) != tasks ||
		int(c.Status.TasksDesired) != tasks {
		return false
	}
	for _, condition := range c.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}

// connector returns a KafkaConnector from the cache, or nil.
func (e *environment) connector(namespace, name string) *connectv1.KafkaConnector {
	object, exists, err := e.connectors.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil
	}
	return object.(*connectv1.KafkaConnector)
}

// uids returns the UIDs of all pods except those of the given connectors.
func (e *environment) uids(except ...string) map[string]string {
	uids := map[string]string{}
next:
	for _, object := range e.pods.GetStore().List() {
		pod := object.(*corev1.Pod)
		for _, name := range except {
			if strings.HasPrefix(pod.Name, name+"-") {
				continue next
			}
		}
		uids[pod.Namespace+"/"+pod.Name] = string(pod.UID)
	}
	return uids
}
