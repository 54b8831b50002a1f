package main

import (
	"context"
	"fmt"
	"slices"
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
	d.explain("The first build downloads and compiles all dependencies. This takes several minutes.")
	var built []string
	for _, c := range d.chapters {
		for _, service := range append(slices.Clone(c.additions), c.service) {
			program := "bin/" + service
			if slices.Contains(built, program) {
				continue
			}
			if err := d.spin("go build "+service, func() error { return env.Build(ctx, d.root, service) }); err != nil {
				return err
			}
			built = append(built, program)
		}
	}
	if err := d.buildRecords(ctx); err != nil {
		return err
	}
	separate := d.separateChapters()
	if err := d.spin("go test -c ./storage", func() error { return d.buildSeparate(ctx, separate) }); err != nil {
		return err
	}
	d.done("%s: built (%s).", strings.Join(built, ", "), since(d.began))
	// The first build of the control plane prints its own progress.
	if _, err := binaries.Ensure(ctx, d.screen); err != nil {
		return err
	}
	d.built = time.Now()
	return d.startSeparate(separate)
}

func (d *demo) startControlPlane(ctx context.Context) error {
	began := time.Now()
	err := d.spin("starting", func() error {
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
		return fmt.Errorf("got %d nodes, want 3", len(names))
	}
	d.done("Nodes %s are Ready (%s).", strings.Join(names, ", "), since(began))
	return nil
}

func (d *demo) install(ctx context.Context) error {
	base, err := d.installBase(ctx, service)
	if err != nil {
		return err
	}
	for _, line := range byKind(base.Applied) {
		d.note("created", green, "%s", line)
	}
	d.note("skipped", yellow, "%s", strings.Join(byKind(base.Skipped), ", "))
	d.explain(
		"Simulated nodes run no containers, so connect-scheduler runs as a local process with the same permissions.",
	)
	if err := d.spin("starting connect-scheduler", func() error {
		d.scheduler, err = env.StartConnectScheduler(ctx, d.cp, d.root)
		return err
	}); err != nil {
		return err
	}
	if err := d.checkPermissions(ctx); err != nil {
		return err
	}
	if d.runner, err = env.StartFakeRunner(d.cp, d.root, "--namespace="+namespace); err != nil {
		return err
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := d.cp.Client().CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", namespace, err)
	}
	// The watch continues after this step.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stopWatch = stop
	if d.objects, err = watch(watching, d.cp.RESTConfig(), namespace); err != nil {
		stop()
		d.stopWatch = nil
		return err
	}
	d.done("connect-scheduler is ready (%s).", since(d.began))
	return nil
}

// installBase applies the manifests of a service, and deploy/base in the first chapter.
func (d *demo) installBase(ctx context.Context, service string) (env.Base, error) {
	install, command := env.Install, "$ kubectl apply -k deploy/base; kubectl apply -k deploy/"+service
	if d.installed {
		install, command = env.InstallMore, "$ kubectl apply -k deploy/"+service
	}
	d.installed = true
	d.screen.line(indent+"%s", d.screen.paint(cyan, command))
	return install(ctx, d.cp, d.root, service)
}

// checkPermissions checks the identity and the permissions of the service with review requests to the API server.
func (d *demo) checkPermissions(ctx context.Context) error {
	account, err := d.cp.ServiceAccount(ctx, env.Namespace, service)
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(account)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	self, err := kube.AuthenticationV1().
		SelfSubjectReviews().
		Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("review the identity of the service: %w", err)
	}
	want := map[bool][]string{
		true:  {"create statefulsets.apps", "delete pods"},
		false: {"create deployments.apps", "delete secrets", "list nodes"},
	}
	for allowed, actions := range want {
		for _, action := range actions {
			verb, resource, _ := strings.Cut(action, " ")
			resource, group, _ := strings.Cut(resource, ".")
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource},
			}}
			review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("review permission %q of the service: %w", action, err)
			}
			if review.Status.Allowed != allowed {
				return fmt.Errorf(
					"permission %q of the service: allowed is %t, want %t",
					action,
					review.Status.Allowed,
					allowed,
				)
			}
		}
	}
	d.done("It runs as %s.", self.Status.UserInfo.Username)
	d.done("Allowed: %s. Denied: %s.", strings.Join(want[true], ", "), strings.Join(want[false], ", "))
	return nil
}

// byKind returns one line per kind with the names of its objects.
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
