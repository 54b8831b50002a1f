package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	"github.com/weir-dev/weir/pkg/testkit"
)

// namespace is the namespace of all sets.
const namespace = "default"

// environment is a fresh control plane with nodes and informers. It is the same for all subjects.
type environment struct {
	cp   *testkit.ControlPlane
	kube kubernetes.Interface
	weir versioned.Interface
	// stop ends the informers. shutdown waits for them.
	stop     context.CancelFunc
	shutdown []func()

	pvs, sets, agents cache.SharedIndexInformer
	// created and available are the numbers of PersistentVolumes that exist, and that the binder has seen.
	created, available atomic.Int64
	// changed receives a value after a change of a PersistentVolume or a set. Several changes may be one value.
	changed chan struct{}
}

// newEnvironment starts a control plane and everything that all subjects need.
func newEnvironment(ctx context.Context, o options, root string) (_ *environment, err error) {
	e := &environment{changed: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.cp, err = testkit.Start(ctx, testkit.Options{Progress: os.Stderr, ControllerManagerArgs: []string{
		"--kube-api-qps=2000", "--kube-api-burst=4000",
	}}); err != nil {
		return nil, err
	}
	if _, err := e.cp.AddNodes(ctx, o.nodes); err != nil {
		return nil, err
	}
	if _, err := env.Install(ctx, e.cp, root, service); err != nil {
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
	if e.kube, err = protobufClient(connection); err != nil {
		return err
	}
	core := informers.NewSharedInformerFactory(e.kube, 0)
	own := externalversions.NewSharedInformerFactory(e.weir, 0)
	e.pvs = core.Core().V1().PersistentVolumes().Informer()
	e.sets = own.Storage().V1alpha1().KafkaLocalVolumeSets().Informer()
	e.agents = own.Storage().V1alpha1().LocalVolumeNodes().Informer()
	phase := func(object any) corev1.PersistentVolumePhase { return object.(*corev1.PersistentVolume).Status.Phase }
	if _, err := e.pvs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			e.created.Add(1)
			if phase(object) == corev1.VolumeAvailable {
				e.available.Add(1)
			}
		},
		UpdateFunc: func(old, updated any) {
			if phase(old) != corev1.VolumeAvailable && phase(updated) == corev1.VolumeAvailable {
				e.available.Add(1)
			}
		},
	}); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	wake := func() {
		select {
		case e.changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{e.pvs, e.sets} {
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
	if !cache.WaitForCacheSync(ctx.Done(), e.pvs.HasSynced, e.sets.HasSynced, e.agents.HasSynced) {
		return errors.New("the informer caches did not sync")
	}
	return nil
}

// protobufClient returns a client that uses the encoding of the services.
func protobufClient(connection *rest.Config) (kubernetes.Interface, error) {
	connection.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return client, nil
}

func (e *environment) close() error {
	if e.stop != nil {
		e.stop()
		for _, shutdown := range e.shutdown {
			shutdown()
		}
	}
	if e.cp != nil {
		return e.cp.Stop()
	}
	return nil
}

// until waits until a condition returns nil. It checks the condition after each change, at most every 5 ms, and fails
// early when a process has ended. what completes the error "wait for ...".
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
			failures := []error{e.cp.Err()}
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

// pvsExist returns nil when at least want PersistentVolumes exist.
func (e *environment) pvsExist(want int) error {
	if n := e.created.Load(); n < int64(want) {
		return fmt.Errorf("%d of %d PersistentVolumes exist", n, want)
	}
	return nil
}

// pvsSeen returns nil when the binder of the control plane has written the status of at least want PersistentVolumes.
func (e *environment) pvsSeen(want int) error {
	if n := e.available.Load(); n < int64(want) {
		return fmt.Errorf("%d of %d PersistentVolumes are available", n, want)
	}
	return nil
}

// pvsAvailable waits until the binder has written the status of all PersistentVolumes.
func (e *environment) pvsAvailable(ctx context.Context, want int) error {
	return e.until(ctx, "the binder", nil, func() error { return e.pvsSeen(want) })
}

// setsReady returns nil when at least want sets are Ready.
func (e *environment) setsReady(want int) error {
	ready, last := 0, ""
	for _, object := range e.sets.GetStore().List() {
		set := object.(*storagev1alpha1.KafkaLocalVolumeSet)
		c := meta.FindStatusCondition(set.Status.Conditions, storagev1alpha1.ConditionReady)
		switch {
		case c == nil || set.Status.ObservedGeneration != set.Generation:
		case c.Status == metav1.ConditionTrue:
			ready++
		default:
			last = c.Message
		}
	}
	if ready < want {
		return fmt.Errorf("%d of %d sets are Ready: %s", ready, want, last)
	}
	return nil
}

// create creates the set number i.
func (e *environment) create(ctx context.Context, o options, basePath string, i int) error {
	set := &storagev1alpha1.KafkaLocalVolumeSet{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("set-%04d", i)},
		Spec:       storagev1alpha1.KafkaLocalVolumeSetSpec{Replicas: int32(o.replicas), BasePath: basePath},
	}
	for t := range o.templates {
		set.Spec.Templates = append(set.Spec.Templates, storagev1alpha1.VolumeTemplate{
			Name: fmt.Sprintf("data-%d", t), ClaimNamePattern: fmt.Sprintf("data-%d-set-%04d-{ordinal}", t, i),
			Size: resource.MustParse("1Mi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		})
	}
	_, err := e.weir.StorageV1alpha1().KafkaLocalVolumeSets(namespace).Create(ctx, set, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create %s: %w", set.Name, err)
	}
	return nil
}
