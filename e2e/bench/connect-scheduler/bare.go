package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// connectors is the resource that owns all other objects.
var connectors = connectv1.SchemeGroupVersion.WithResource("kafkaconnectors")

// kinds lists the resources that connect-scheduler creates, in its order.
var kinds = []schema.GroupVersionResource{
	{Version: "v1", Resource: "serviceaccounts"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Version: "v1", Resource: "secrets"},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	{Version: "v1", Resource: "services"},
	{Group: "apps", Version: "v1", Resource: "statefulsets"},
}

// object is an object that the bare client creates.
type object struct {
	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
}

// objects holds, for each connector, the KafkaConnector followed by the objects that it owns in creation order.
type objects [][]object

// collect reads the KafkaConnectors and the objects that the service created for them. It removes server-assigned
// fields.
func collect(ctx context.Context, cp *testkit.ControlPlane) (objects, error) {
	list, err := cp.Dynamic().Resource(connectors).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", connectors.Resource, err)
	}
	index, found := map[string]int{}, objects{}
	for i := range list.Items {
		o := &list.Items[i]
		index[o.GetNamespace()+"/"+o.GetName()] = len(found)
		found = append(found, []object{{connectors, stripServerFields(o)}})
	}
	for _, kind := range kinds {
		list, err := cp.Dynamic().Resource(kind).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelConnector})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if at, known := index[o.GetNamespace()+"/"+o.GetLabels()[contract.LabelConnector]]; known {
				found[at] = append(found[at], object{kind, stripServerFields(o)})
			}
		}
	}
	return found, nil
}

// stripServerFields removes the status and all fields that the API server assigns.
func stripServerFields(o *unstructured.Unstructured) *unstructured.Unstructured {
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	delete(o.Object, "status")
	return o
}

// create creates a KafkaConnector and the objects that it owns.
func create(ctx context.Context, client dynamic.Interface, owned []object) error {
	var owner types.UID
	for _, one := range owned {
		owners := one.object.GetOwnerReferences()
		for i := range owners {
			owners[i].UID = owner
		}
		one.object.SetOwnerReferences(owners)
		resource := client.Resource(one.resource).Namespace(one.object.GetNamespace())
		created, err := resource.Create(ctx, one.object, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create %s %s: %w", one.resource.Resource, one.object.GetName(), err)
		}
		if one.resource == connectors {
			owner = created.GetUID()
		}
	}
	return nil
}

// runBareClient creates the same objects with a plain client, including the KafkaConnectors, while no controller
// acts on them. The client has the same request rate and the same RBAC rules. It waits for the same pods.
func runBareClient(ctx context.Context, o options, root string, created objects) (_ side, err error) {
	e, err := newEnvironment(ctx, o, root)
	if err != nil {
		return side{}, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	client, err := e.bareClient(ctx, o)
	if err != nil {
		return side{}, err
	}
	bench.Logf("the bare client creates the objects of %d connectors", len(created))
	requestsSince, err := countRequests(ctx, e.cp)
	if err != nil {
		return side{}, err
	}
	before, began := bench.Programs(e.cp.Dir()), time.Now()
	creating := make(chan error, 1)
	go func() {
		creating <- parallel(o.workers, len(created), func(i int) error { return create(ctx, client, created[i]) })
	}()
	podsReady := func() error { return e.podsReady(o.pods()) }
	if err := e.until(ctx, "the pods of the bare client", nil, podsReady); err != nil {
		return side{}, errors.Join(err, resultSoFar(creating))
	}
	took := time.Since(began)
	result := side{converged: took, podsReady: took, cpu: bench.Spent(before, bench.Programs(e.cp.Dir()))}
	if result.requests, err = requestsSince(); err != nil {
		return result, err
	}
	if result.started, err = lastStart(ctx, e.cp, began); err != nil {
		return result, err
	}
	return result, <-creating
}

// bareClient returns a client under the ServiceAccount of the service, which may also create KafkaConnectors. The
// API server does less work for an administrator: it skips the privilege escalation check for Roles.
func (e *environment) bareClient(ctx context.Context, o options) (dynamic.Interface, error) {
	_, err := e.cp.ApplyYAML(ctx, "", `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bare-client}
rules: [{apiGroups: [`+connectors.Group+`], resources: [`+connectors.Resource+`], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bare-client}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: bare-client}
subjects: [{kind: ServiceAccount, name: `+service+`, namespace: `+env.Namespace+`}]
`)
	if err != nil {
		return nil, err
	}
	connection, err := e.cp.ServiceAccount(ctx, env.Namespace, service)
	if err != nil {
		return nil, err
	}
	connection.QPS, connection.Burst = float32(o.qps), o.burst
	client, err := dynamic.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	reviews := e.cp.Client().AuthorizationV1().SubjectAccessReviews()
	return client, testkit.Poll(ctx, "the permissions of the bare client", func(ctx context.Context) error {
		review, err := reviews.Create(
			ctx,
			&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: "system:serviceaccount:" + env.Namespace + ":" + service,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: o.namespace(0), Verb: "create", Group: connectors.Group, Resource: connectors.Resource,
				},
			}},
			metav1.CreateOptions{},
		)
		if err == nil && !review.Status.Allowed {
			err = errors.New(review.Status.Reason)
		}
		return err
	})
}

// resultSoFar returns the error of a background task if it has ended, else nil.
func resultSoFar(background <-chan error) error {
	select {
	case err := <-background:
		return err
	default:
		return nil
	}
}

// parallel calls do for every number below n in several workers. It stops at the first error.
func parallel(workers, n int, do func(int) error) error {
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
