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
)

// connectors are what everything else belongs to.
var connectors = connectv1.SchemeGroupVersion.WithResource("kafkaconnectors")

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

// objects are, of each connector, the KafkaConnector and then what was made for it, in the order of making.
type objects [][]object

// collect reads the KafkaConnectors and what the service has made for them, without what ties it to this control plane.
func collect(ctx context.Context, cp *testkit.ControlPlane) (objects, error) {
	list, err := cp.Dynamic().Resource(connectors).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", connectors.Resource, err)
	}
	places, found := map[string]int{}, objects{}
	for i := range list.Items {
		o := &list.Items[i]
		places[o.GetNamespace()+"/"+o.GetName()] = len(found)
		found = append(found, []object{{connectors, forget(o)}})
	}
	for _, kind := range kinds {
		list, err := cp.Dynamic().Resource(kind).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelConnector})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if at, known := places[o.GetNamespace()+"/"+o.GetLabels()[contract.LabelConnector]]; known {
				found[at] = append(found[at], object{kind, forget(o)})
			}
		}
	}
	return found, nil
}

// forget removes what the API server has added.
func forget(o *unstructured.Unstructured) *unstructured.Unstructured {
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	delete(o.Object, "status")
	return o
}

// create creates a KafkaConnector and all that belongs to it, as the same owner's.
func create(ctx context.Context, client dynamic.Interface, belongings []object) error {
	var owner types.UID
	for _, one := range belongings {
		owners := one.object.GetOwnerReferences()
		for i := range owners {
			owners[i].UID = owner
		}
		one.object.SetOwnerReferences(owners)
		made, err := client.Resource(one.resource).Namespace(one.object.GetNamespace()).Create(ctx, one.object, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create %s %s: %w", one.resource.Resource, one.object.GetName(), err)
		}
		if one.resource == connectors {
			owner = made.GetUID()
		}
	}
	return nil
}

// bare has a client create the same objects, KafkaConnectors too, with nobody who acts on them, at the same pace and with the same
// rights; and waits for the same pods.
func bare(ctx context.Context, o options, root string, made objects) (_ side, err error) {
	e, err := lay(ctx, o, root)
	if err != nil {
		return side{}, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	client, err := e.bareClient(ctx, o)
	if err != nil {
		return side{}, err
	}
	env.Say("the bare client creates the objects of %d connectors", len(made))
	asked, err := requests(ctx, e.cp)
	if err != nil {
		return side{}, err
	}
	before, began := cpu(e.cp.Dir()), time.Now()
	creating := make(chan error, 1)
	go func() {
		creating <- each(o.workers, len(made), func(i int) error { return create(ctx, client, made[i]) })
	}()
	if err := e.until(ctx, "the pods of the bare client", nil, func() error { return e.podsReady(o.pods()) }); err != nil {
		return side{}, errors.Join(err, ended(creating))
	}
	took := time.Since(began)
	is := side{converged: took, podsReady: took, cpu: spent(before, cpu(e.cp.Dir()))}
	if is.requests, err = asked(); err != nil {
		return is, err
	}
	return is, <-creating
}

// bareClient is under the service's own account, which may make KafkaConnectors too: for administrators the API server does less, as it
// does not ask whether a Role gives away more than its maker has.
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
	return client, testkit.Poll(ctx, "the rights of the bare client", func(ctx context.Context) error {
		review, err := reviews.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + env.Namespace + ":" + service,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: o.namespace(0), Verb: "create", Group: connectors.Group, Resource: connectors.Resource},
		}}, metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			err = errors.New(review.Status.Reason)
		}
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
