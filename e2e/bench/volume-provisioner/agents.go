package main

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// startAgents starts a model of the agent for each node. It reports each requested directory as ready. The returned
// function stops all models.
func (e *environment) startAgents(ctx context.Context) (stop func(), err error) {
	nodes, err := e.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, node := range nodes.Items {
		group.Go(func() error {
			object := &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
			_, err := e.weir.StorageV1alpha1().LocalVolumeNodes().Create(groupCtx, object, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("create LocalVolumeNodes: %w", err)
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	handler := func(object any) { queue.Add(object.(*storagev1alpha1.LocalVolumeNode).Name) }
	if _, err := e.agents.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: handler, UpdateFunc: func(_, object any) { handler(object) },
	}); err != nil {
		return nil, fmt.Errorf("watch LocalVolumeNodes: %w", err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				name, ended := queue.Get()
				if ended {
					return
				}
				if err := e.reportDirectories(ctx, name); err != nil && ctx.Err() == nil {
					if !apierrors.IsConflict(err) {
						bench.Logf("agent of %s: %v", name, err)
					}
					queue.AddRateLimited(name)
				} else {
					queue.Forget(name)
				}
				queue.Done(name)
			}
		})
	}
	return func() {
		queue.ShutDown()
		all.Wait()
	}, nil
}

// reportDirectories writes the status of a LocalVolumeNode if its spec has changed.
func (e *environment) reportDirectories(ctx context.Context, name string) error {
	object, exists, err := e.agents.GetStore().GetByKey(name)
	if err != nil || !exists {
		return err
	}
	node := object.(*storagev1alpha1.LocalVolumeNode).DeepCopy()
	if node.Status.ObservedGeneration == node.Generation {
		return nil
	}
	machine := "machine-" + name
	status := storagev1alpha1.LocalVolumeNodeStatus{ObservedGeneration: node.Generation, MachineID: machine}
	for _, base := range node.Spec.BasePaths {
		status.FileSystems = append(status.FileSystems, storagev1alpha1.FileSystemStatus{
			BasePath: base, State: storagev1alpha1.FileSystemReady, ID: "fs-" + name,
			CapacityBytes: 1 << 40, AvailableBytes: 1 << 40,
		})
	}
	for _, d := range node.Spec.Directories {
		status.Directories = append(status.Directories, storagev1alpha1.DirectoryStatus{
			ID: d.ID, State: storagev1alpha1.DirectoryReady, FileSystem: "fs-" + name,
			Marker: &storagev1alpha1.DirectoryMarker{
				ID: d.ID, SetName: d.SetName, SetUID: d.SetUID, Ordinal: d.Ordinal, MachineID: machine,
				FileSystem: "fs-" + name,
			},
		})
	}
	node.Status = status
	_, err = e.weir.StorageV1alpha1().LocalVolumeNodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}
