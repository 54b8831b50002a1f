//go:build linux

// Package agent reconciles the LocalVolumeNode of one node: it observes the file systems, performs what disk.Decide
// decides, and writes the status.
package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageclient "github.com/weir-dev/weir/generated/clientset/versioned/typed/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/directory"
)

// Agent reconciles one LocalVolumeNode.
type Agent struct {
	// Node is the name of the node.
	Node string
	// Manager is the field manager.
	Manager string
	// Client writes LocalVolumeNodes, and Cache has the one of the node.
	Client storageclient.LocalVolumeNodeInterface
	Cache  cache.SharedIndexInformer
	// NodeUID returns the uid of the Node, or an empty string if it is not known.
	NodeUID func(context.Context) (types.UID, error)
	// Host is the access to the file systems.
	Host *directory.Host
	// MachineID and AllowedBasePaths are reported and checked.
	MachineID        string
	AllowedBasePaths []string
	// Recheck is the time between two observations without an event.
	Recheck time.Duration
	// Metrics of the agent.
	Metrics *Metrics
	// Now returns the current time.
	Now func() time.Time
}

// Reconcile makes the directories match the spec and reports them.
func (a *Agent) Reconcile(ctx context.Context, _ controller.Key) (controller.Result, error) {
	object, found := cacheutil.Lookup[*storagev1alpha1.LocalVolumeNode](a.Cache, "", a.Node)
	if !found {
		return controller.Result{RequeueAfter: a.Recheck}, a.create(ctx)
	}
	uid, err := a.NodeUID(ctx)
	if err != nil {
		return controller.Result{}, err
	}
	state := disk.State{
		Node: object, NodeUID: uid, MachineID: a.MachineID, AllowedBasePaths: a.AllowedBasePaths, Now: a.Now(),
		Results: a.Host.Jobs(),
	}
	plan := a.Host.Sync(ctx, state)
	if ctx.Err() != nil {
		return controller.Result{}, ctx.Err()
	}
	a.Metrics.observe(plan.Status)
	result := controller.Result{RequeueAfter: a.Recheck}
	if plan.Requeue > 0 {
		result.RequeueAfter = min(result.RequeueAfter, plan.Requeue)
	}
	return result, errors.Join(a.write(ctx, object, plan.Status), failures(state.Results))
}

// create creates the LocalVolumeNode. The controller does not place volumes on a node without one.
func (a *Agent) create(ctx context.Context) error {
	var none *storagev1alpha1.LocalVolumeNode
	next := &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: a.Node}}
	if _, err := apply.CompareAndSwap(ctx, a.Client, a.Manager, none, next); err != nil && !apply.IsSwapLost(err) {
		return fmt.Errorf("create LocalVolumeNode %s: %w", a.Node, err)
	}
	return nil
}

// write writes the status if it has changed.
func (a *Agent) write(
	ctx context.Context, object *storagev1alpha1.LocalVolumeNode, status storagev1alpha1.LocalVolumeNodeStatus,
) error {
	if equality.Semantic.DeepEqual(object.Status, status) {
		return nil
	}
	// The event of a newer version reconciles again.
	next := *object
	next.Status = status
	_, err := apply.UpdateStatus(ctx, a.Client, a.Manager, &next)
	if apply.IgnoreGone(err) != nil {
		return fmt.Errorf("write the status of LocalVolumeNode %s: %w", a.Node, err)
	}
	return nil
}

// failures returns an error with all failed actions, which are retried with backoff.
func failures(results map[disk.Key]disk.Result) error {
	var failed []error
	for key, result := range results {
		if result.Error != "" {
			failed = append(failed, fmt.Errorf("%s %s in %s: %s", key.Kind, key.Path, key.BasePath, result.Error))
		}
	}
	slices.SortFunc(failed, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(failed...)
}
