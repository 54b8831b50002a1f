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

// environment is a fresh control plane with nodes for all pods, watches, and a fake runner: the same for both sides.
type environment struct {
	cp     *testkit.ControlPlane
	kube   kubernetes.Interface
	weir   versioned.Interface
	runner *env.Process
	stop   context.CancelFunc
	down   []func()

	pods       cache.SharedIndexInformer
	connectors cache.SharedIndexInformer
	// changed tells that one of the two has; more often than it can be looked at is once.
	changed chan struct{}
}

// lay makes the ground.
func lay(ctx context.Context, o options, root string) (_ *environment, err error) {
	e := &environment{changed: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.cp, err = testkit.Start(ctx, testkit.Options{Progress: os.Stderr, ControllerManagerArgs: []string{
		// The default of 5 is for clusters where StatefulSets are few.
		"--concurrent-statefulset-syncs=20",
		"--kube-api-qps=2000", "--kube-api-burst=4000",
	}}); err != nil {
		return nil, err
	}
	// A node takes 500 pods; half full, nothing waits for room.
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
		if _, err := e.cp.Client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create namespace %s: %w", name, err)
		}
		if _, err := e.cp.ApplyYAML(ctx, name, string(worker)); err != nil {
			return nil, err
		}
	}
	// Rights as one pod: a token for each connector would measure the fake runner.
	if e.runner, err = env.StartFakeRunner(e.cp, root, "--as-pod=false"); err != nil {
		return nil, err
	}
	return e, e.watch(ctx)
}

func (o options) namespace(connector int) string {
	return fmt.Sprintf("bench-%02d", connector%o.namespaces)
}

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
	e.down = []func(){core.Shutdown, own.Shutdown}
	if !cache.WaitForCacheSync(ctx.Done(), e.pods.HasSynced, e.connectors.HasSynced) {
		return errors.New("the watches did not begin")
	}
	return nil
}

func (e *environment) close() error {
	if e.stop != nil {
		e.stop()
		for _, down := range e.down {
			down()
		}
	}
	errs := []error{e.runner.Stop()}
	if e.cp != nil {
		errs = append(errs, e.cp.Stop())
	}
	return errors.Join(errs...)
}

// until waits until something holds; it looks when a watch has told of a change, at most every few milliseconds.
func (e *environment) until(ctx context.Context, what string, s *env.ConnectScheduler, holds func() error) error {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		last := holds()
		if last == nil {
			return nil
		}
		select {
		case <-e.changed:
			<-pause.C
		case <-second.C:
			faults := []error{e.cp.Err(), e.runner.Fault()}
			if s != nil {
				faults = append(faults, s.Fault())
			}
			if err := errors.Join(faults...); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), last)
		}
	}
}

// podsReady is nil when so many pods are Ready.
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

// connectorsReady is nil when so many connectors are Ready with all their tasks.
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

func isReady(c *connectv1.KafkaConnector, tasks int) bool {
	if c.Status.ObservedGeneration != c.Generation || int(c.Status.TasksReady) != tasks || int(c.Status.TasksDesired) != tasks {
		return false
	}
	for _, condition := range c.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}

func (e *environment) connector(namespace, name string) *connectv1.KafkaConnector {
	object, exists, err := e.connectors.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil
	}
	return object.(*connectv1.KafkaConnector)
}

// uids are the uids of all pods but those of some connectors.
func (e *environment) uids(but ...string) map[string]string {
	uids := map[string]string{}
next:
	for _, object := range e.pods.GetStore().List() {
		pod := object.(*corev1.Pod)
		for _, name := range but {
			if strings.HasPrefix(pod.Name, name+"-") {
				continue next
			}
		}
		uids[pod.Namespace+"/"+pod.Name] = string(pod.UID)
	}
	return uids
}
