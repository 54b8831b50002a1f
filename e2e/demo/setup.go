package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

func (d *demo) build(ctx context.Context) error {
	var err error
	if d.root, err = env.Root(); err != nil {
		return err
	}
	d.say("The first time, Go downloads and compiles all that they are made of: that takes minutes.")
	if err := d.during("go build", func() error { return env.Build(ctx, d.root, service) }); err != nil {
		return err
	}
	d.done("bin/connect-scheduler and bin/fake-runner are up to date, after %s.", since(d.began))
	return nil
}

func (d *demo) startControlPlane(ctx context.Context) error {
	// What is compiled the first time tells of its progress itself.
	if _, err := binaries.Ensure(ctx, d.screen); err != nil {
		return err
	}
	began := time.Now()
	err := d.during("starting", func() error {
		var err error
		d.cp, err = testkit.Start(ctx, testkit.Options{Nodes: 3, Progress: d.screen})
		return err
	})
	if err != nil {
		return err
	}
	nodes, err := d.cp.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	var names []string
	for _, node := range nodes.Items {
		names = append(names, node.Name)
	}
	if len(names) != 3 {
		return fmt.Errorf("there are %d nodes, not 3", len(names))
	}
	d.done("%s are Ready, %s after the first process was started.", strings.Join(names, ", "), since(began))
	return nil
}

func (d *demo) install(ctx context.Context) error {
	d.screen.line(indent+"%s", d.screen.paint(cyan, "$ kubectl apply -k deploy/connect-scheduler"))
	base, err := env.Install(ctx, d.cp, d.root, service)
	if err != nil {
		return err
	}
	for _, line := range byKind(base.Applied) {
		d.note("made", green, "%s", line)
	}
	d.note("not", yellow, "%s: simulated nodes would only pretend to run it;", strings.Join(byKind(base.LeftOut), ", "))
	d.note("", "", "connect-scheduler runs beside the control plane, as a process of this machine")
	if err := d.during("starting connect-scheduler", func() error {
		d.scheduler, err = env.StartConnectScheduler(ctx, d.cp, d.root)
		return err
	}); err != nil {
		return err
	}
	if err := d.checkRights(ctx); err != nil {
		return err
	}
	if d.runner, err = env.StartFakeRunner(d.cp, d.root); err != nil {
		return err
	}
	if _, err := d.cp.Client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", namespace, err)
	}
	// The watch goes on after this step.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stopWatch = stop
	if d.objects, err = watch(watching, d.cp.RESTConfig(), namespace); err != nil {
		stop()
		d.stopWatch = nil
		return err
	}
	d.done("connect-scheduler is ready, %s after the step began.", since(d.began))
	return nil
}

// checkRights asks the API server who the service is, and what it may and may not do.
func (d *demo) checkRights(ctx context.Context) error {
	account, err := d.cp.ServiceAccount(ctx, env.Namespace, service)
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(account)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	self, err := kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("ask who the service is: %w", err)
	}
	want := map[bool][]string{true: {"create statefulsets.apps", "delete pods"}, false: {"create deployments.apps", "delete secrets", "list nodes"}}
	for may, acts := range want {
		for _, act := range acts {
			verb, resource, _ := strings.Cut(act, " ")
			resource, group, _ := strings.Cut(resource, ".")
			review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource}},
			}, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("ask whether the service may %s: %w", act, err)
			}
			if review.Status.Allowed != may {
				return fmt.Errorf("whether the service may %s: %t, want %t", act, review.Status.Allowed, may)
			}
		}
	}
	d.done("It is %s: it may %s; it may not %s.", self.Status.UserInfo.Username, strings.Join(want[true], ", "), strings.Join(want[false], ", "))
	return nil
}

// byKind names objects, one line for each kind.
func byKind(objects []*unstructured.Unstructured) []string {
	var kinds []string
	names := map[string][]string{}
	for _, object := range objects {
		kind := object.GetKind()
		if names[kind] == nil {
			kinds = append(kinds, kind)
		}
		names[kind] = append(names[kind], object.GetName())
	}
	for i, kind := range kinds {
		kinds[i] = kind + " " + strings.Join(names[kind], ", ")
	}
	return kinds
}
