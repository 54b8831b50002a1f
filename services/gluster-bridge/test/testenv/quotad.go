//go:build linux

package testenv

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageac "github.com/weir-dev/weir/generated/applyconfiguration/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	storagelisters "github.com/weir-dev/weir/generated/listers/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
)

// Quotad reports limits as the quotad of one server does, without setting them.
type Quotad struct {
	// Server is the number of the Gluster server.
	Server int

	mu    sync.Mutex
	state storagev1alpha1.BrickState
	inUse int64
	// wake has a value when something may have changed.
	wake chan struct{}
}

// Quotad starts a simulated quotad for a server. It reports Enforced.
func (e *Env) Quotad(server int) *Quotad {
	e.Helper()
	q := &Quotad{Server: server, state: storagev1alpha1.BrickEnforced, wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
	factory := externalversions.NewSharedInformerFactory(e.Weir, 0)
	volumes := factory.Storage().V1alpha1().GlusterVolumes()
	_, err := volumes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { q.changed() }, UpdateFunc: func(any, any) { q.changed() },
	})
	require.NoError(e, err)
	factory.Start(ctx.Done())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-q.wake:
			case <-ctx.Done():
				return
			}
			if err := q.report(ctx, e, volumes.Lister()); err != nil && ctx.Err() == nil {
				e.Logf("quotad %d: %v", server, err)
				q.changed()
			}
		}
	})
	e.Cleanup(func() {
		cancel()
		running.Wait()
		factory.Shutdown()
	})
	return q
}

func (q *Quotad) changed() {
	select {
	case q.wake <- struct{}{}:
	default: // It has not handled the last change yet.
	}
}

// Report changes the state that quotad reports for all volumes.
func (q *Quotad) Report(state storagev1alpha1.BrickState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state = state
	q.changed()
}

// Refuse makes quotad report that a project id belongs to something else.
func (q *Quotad) Refuse(project int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inUse = project
	q.changed()
}

func (q *Quotad) report(ctx context.Context, e *Env, lister storagelisters.GlusterVolumeLister) error {
	q.mu.Lock()
	standard, inUse := q.state, q.inUse
	q.mu.Unlock()
	client := e.Weir.StorageV1alpha1().GlusterVolumes()
	list, err := lister.List(labels.Everything())
	if err != nil {
		return err
	}
	node, path := fmt.Sprintf("00000000-0000-0000-0000-%012d", q.Server), e.Cluster.Brick(q.Server, Volume)
	for _, gv := range list {
		state := standard
		if gv.Spec.ProjectID == inUse {
			state = storagev1alpha1.BrickProjectInUse
		}
		if reported(gv, node, state) {
			continue
		}
		entry := storageac.BrickStatus().WithNode(node).WithBrick(path).WithHost(gluster.Host(q.Server)).
			WithState(state).WithLimitBytes(gv.Spec.CapacityBytes).WithObservedGeneration(gv.Generation).
			WithMessage("simulated")
		_, err := client.ApplyStatus(ctx, storageac.GlusterVolume(gv.Name).WithUID(gv.UID).
			WithStatus(storageac.GlusterVolumeStatus().WithBricks(entry)),
			metav1.ApplyOptions{FieldManager: "quotad-" + node, Force: true})
		if err != nil && ctx.Err() == nil && !gone(err) {
			return err
		}
	}
	return nil
}

func reported(gv *storagev1alpha1.GlusterVolume, node string, state storagev1alpha1.BrickState) bool {
	for _, b := range gv.Status.Bricks {
		if b.Node == node {
			return b.ObservedGeneration == gv.Generation && b.State == state && b.LimitBytes == gv.Spec.CapacityBytes
		}
	}
	return false
}
