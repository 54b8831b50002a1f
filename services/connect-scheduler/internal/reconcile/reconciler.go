// Package reconcile stands between connect-scheduler's decisions and the Kubernetes API: observe.go makes the State from
// caches, act.go carries out the Plan, and reconciler.go joins them.
package reconcile

import (
	"context"
	"time"

	"k8s.io/client-go/tools/events"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

// connectors reconciles KafkaConnectors.
type connectors struct {
	world  *world
	act    actor
	events events.EventRecorder
	now    func() time.Time
}

func (r connectors) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state, err := r.world.observeConnector(key, r.now())
	if err != nil || state == nil {
		return controller.Result{}, err
	}
	plan, err := decide.Connector(*state)
	if err != nil {
		return controller.Result{}, err
	}
	told, err := r.act.connector(ctx, state, &plan)
	if told {
		for _, e := range plan.Events() {
			event.Record(r.events, state.Connector, e)
		}
	}
	return controller.Result{}, err
}

// connects reconciles KafkaConnects.
type connects struct {
	world  *world
	act    actor
	events events.EventRecorder
	now    func() time.Time
}

func (r connects) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state, err := r.world.observeConnect(key, r.now())
	if err != nil || state == nil {
		return controller.Result{}, err
	}
	plan, err := decide.Connect(*state)
	if err != nil {
		return controller.Result{}, err
	}
	told, err := r.act.connect(ctx, state, &plan)
	if told {
		for _, e := range plan.Events() {
			event.Record(r.events, state.Connect, e)
		}
	}
	return controller.Result{}, err
}
