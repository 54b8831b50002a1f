package lookup

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Permissions are what the service may do at start. With Strimzi's manifests it may only get and patch pods, which is
// enough to do what Strimzi's Drain Cleaner does.
type Permissions struct {
	// Events may be created.
	Events bool
	// Missing lists the missing permissions of the base, for the log.
	Missing []string
}

// ReadPermissions asks the API server for the permissions of the service.
func ReadPermissions(ctx context.Context, client kubernetes.Interface, namespace string) (Permissions, error) {
	var p Permissions
	for _, attributes := range []authorizationv1.ResourceAttributes{
		{Namespace: namespace, Verb: "watch", Resource: "pods"},
		{Verb: "watch", Resource: "nodes"},
		{Namespace: namespace, Verb: "watch", Group: drainv1alpha1.GroupName, Resource: "kafkadrainpolicies"},
		{Namespace: namespace, Verb: "create", Group: eventsv1.GroupName, Resource: "events"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
		}
		reviews := client.AuthorizationV1().SelfSubjectAccessReviews()
		// Not through pkg/apply: a SelfSubjectAccessReview is a query and is not stored.
		answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return p, fmt.Errorf("check the permission to %s %s: %w", attributes.Verb, attributes.Resource, err)
		}
		if !answer.Status.Allowed {
			p.Missing = append(p.Missing, attributes.Verb+" "+attributes.Resource)
		}
		if attributes.Verb == "create" {
			p.Events = answer.Status.Allowed
		}
	}
	return p, nil
}
