// Package reconcile connects the decisions of volume-provisioner with the Kubernetes API: observe.go reads the state
// from the caches, act.go carries out the plan, and reconciler.go connects both.
package reconcile

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Scheme returns a scheme with the types of Kubernetes and of apis/storage.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, storagev1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic("build the scheme: " + err.Error())
		}
	}
	return s
}

// Options configure the controllers.
type Options struct {
	// Workers is the number of sets that are reconciled in parallel.
	Workers int
	// Settings are passed to the decisions.
	Settings spec.Settings
}

// Setup builds the controllers.
func Setup(_ context.Context, env app.Env, o Options) (app.Components, error) {
	weir, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return app.Components{}, fmt.Errorf("create the client of %s: %w", storagev1alpha1.GroupName, err)
	}
	c, err := newCaches(env.Client, weir, env.Log)
	if err != nil {
		return app.Components{}, err
	}
	c.settings = o.Settings
	return app.Components{
		Always:      []app.Runnable{c.run},
		ReadyChecks: map[string]health.Check{"definitions": c.starter.Synced},
	}, nil
}
