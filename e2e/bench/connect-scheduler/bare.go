package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/rig"
	"github.com/weir-dev/weir/pkg/testkit"
)

// kinds are what connect-scheduler makes, in the order in which it does.
var kinds = []schema.GroupVersionResource{
	{Version: "v1", Resource: "serviceaccounts"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Version: "v1", Resource: "secrets"},
	{Version: "v1", Resource: "configmaps"},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	{Version: "v1", Resource: "services"},
	{Group: "apps", Version: "v1", Resource: "statefulsets"},
}

// object is one that the bare client creates.
type object struct {
	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
}

// objects are the objects of each connector, in their order.
type objects [][]object

// collect reads what the service has made, without what ties it to the service and to its control plane.
func collect(ctx context.Context, cp *testkit.ControlPlane) (objects, error) {
	connectors, found := map[string]int{}, objects{}
	for _, kind := range kinds {
		list, err := cp.Dynamic().Resource(kind).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelConnector})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			key := o.GetNamespace() + "/" + o.GetLabels()[contract.LabelConnector]
			if _, known := connectors[key]; !known {
				connectors[key] = len(found)
				found = append(found, nil)
			}
			for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"} {
				unstructured.RemoveNestedField(o.Object, "metadata", field)
			}
			delete(o.Object, "status")
			found[connectors[key]] = append(found[connectors[key]], object{kind, o})
		}
	}
	return found, nil
}

// bare has a client without a controller create the same objects, at the same pace, and waits for the same pods.
func bare(ctx context.Context, o options, root string, made objects) (_ side, err error) {
	g, err := lay(ctx, o, root)
	if err != nil {
		return side{}, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	client, err := g.bareClient(ctx, o)
	if err != nil {
		return side{}, err
	}
	say("the bare client creates the objects of %d connectors", len(made))
	before, began := cpu(g.cp.Dir()), time.Now()
	creating := make(chan error, 1)
	go func() {
		creating <- each(o.workers, len(made), func(i int) error {
			for _, one := range made[i] {
				if _, err := client.Resource(one.resource).Namespace(one.object.GetNamespace()).Create(ctx, one.object, metav1.CreateOptions{}); err != nil {
					return fmt.Errorf("create %s %s: %w", one.resource.Resource, one.object.GetName(), err)
				}
			}
			return nil
		})
	}()
	if err := g.until(ctx, "the pods of the bare client", nil, func() error { return g.podsReady(o.pods()) }); err != nil {
		return side{}, errors.Join(err, ended(creating))
	}
	took := time.Since(began)
	return side{converged: took, podsReady: took, cpu: spent(before, cpu(g.cp.Dir()))}, <-creating
}

// bareClient is a service account's, as the service's own is: the API server lets administrators pass all queues.
func (g *ground) bareClient(ctx context.Context, o options) (dynamic.Interface, error) {
	const account = "bare-client"
	_, err := g.cp.ApplyYAML(ctx, rig.Namespace, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: `+account+`}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: `+account+`}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: `+account+`, namespace: `+rig.Namespace+`}]
`)
	if err != nil {
		return nil, err
	}
	connection, err := g.cp.ServiceAccount(ctx, rig.Namespace, account)
	if err != nil {
		return nil, err
	}
	connection.QPS, connection.Burst = float32(o.qps), o.burst
	client, err := dynamic.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return client, testkit.Poll(ctx, "the rights of "+account, func(ctx context.Context) error {
		_, err := client.Resource(kinds[0]).Namespace(rig.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
}

// ended is what has come of something in the background so far.
func ended(background <-chan error) error {
	select {
	case err := <-background:
		return err
	default:
		return nil
	}
}

// each calls do for every number below n, by so many workers, until one fails.
func each(workers, n int, do func(int) error) error {
	next, results := make(chan int), make(chan error, workers)
	stop := make(chan struct{})
	for range workers {
		go func() {
			for i := range next {
				if err := do(i); err != nil {
					results <- err
					return
				}
			}
			results <- nil
		}()
	}
	go func() {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-stop:
				return
			}
		}
	}()
	var failed error
	for range workers {
		if err := <-results; err != nil && failed == nil {
			failed = err
			close(stop)
		}
	}
	return failed
}
