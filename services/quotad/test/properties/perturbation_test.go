//go:build linux

package properties

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
)

var glusterVolumes = storagev1alpha1.SchemeGroupVersion.WithResource("glustervolumes")

// process is the quotad of a node, in a run whose volume has the name of the namespace.
func (c *cluster) process(node int) perturb.Process {
	return perturb.Process{
		Name: fmt.Sprint("node-", node),
		Identity: func(_ context.Context, env perturb.Env) (*rest.Config, error) {
			return identity(env.ControlPlane, node)
		},
		Run: func(ctx context.Context, config *rest.Config, namespace string) error {
			return c.run(ctx, config, node, namespace)
		},
	}
}

// ofNamespace lists the GlusterVolumes of a run.
func ofNamespace() []snapshot.Listing {
	return []snapshot.Listing{{
		Resource: glusterVolumes, ClusterScoped: true,
		Options: func(namespace string) metav1.ListOptions {
			return metav1.ListOptions{LabelSelector: "test=" + namespace}
		},
	}}
}

// sortBricks removes the order of the entries, which is that of the first writes.
func sortBricks(o *unstructured.Unstructured) {
	bricks, found, _ := unstructured.NestedSlice(o.Object, "status", "bricks")
	if !found {
		return
	}
	slices.SortFunc(bricks, func(a, b any) int {
		return cmp.Compare(fmt.Sprint(a.(map[string]any)["node"]), fmt.Sprint(b.(map[string]any)["node"]))
	})
	_ = unstructured.SetNestedSlice(o.Object, bricks, "status", "bricks")
}

func TestLimitsAndReportsAreIndependentOfPerturbations(t *testing.T) {
	cp := controlPlane(t)
	c := newCluster(t, 2)
	volumes, err := clientOf(cp.RESTConfig())
	require.NoError(t, err)
	// Each run has its own project ids: the runs share the file systems.
	var last atomic.Uint32
	last.Store(1000)
	type ids struct{ first, second uint32 }
	runs := make(chan map[string]ids, 1)
	runs <- map[string]ids{}
	of := func(namespace string) ids {
		all := <-runs
		defer func() { runs <- all }()
		if _, known := all[namespace]; !known {
			all[namespace] = ids{last.Add(1), last.Add(1)}
		}
		return all[namespace]
	}
	limited := func(ctx context.Context, name string, directory string) error {
		return testkit.Poll(ctx, "the limit of "+directory, func(ctx context.Context) error {
			gv, err := volumes.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return enforced(gv, 2)
		})
	}
	perturb.Replay(t, cp, perturb.Scenario{
		Name: "limits of two directories",
		Subject: perturb.Subject{
			Prepare: func(_ context.Context, env perturb.Env) error { return c.addVolume(env.Namespace) },
			Cleanup: func(ctx context.Context, env perturb.Env) error {
				err := volumes.DeleteCollection(ctx, metav1.DeleteOptions{},
					metav1.ListOptions{LabelSelector: "test=" + env.Namespace})
				if err != nil {
					return err
				}
				return c.removeVolume(env.Namespace, of(env.Namespace).first, of(env.Namespace).second)
			},
			Processes: []perturb.Process{c.process(0), c.process(1)},
			Compare:   ofNamespace(),
			Normalize: []snapshot.Normalizer{snapshot.RemoveField("spec", "projectID"), sortBricks},
		},
		PauseDuration: time.Second, Parallel: 2,
		Steps: []perturb.Step{
			{Name: "create two", Run: func(ctx context.Context, env perturb.Env) error {
				for name, project := range map[string]uint32{
					"one": of(env.Namespace).first, "two": of(env.Namespace).second,
				} {
					if err := c.makeDirectory(env.Namespace, name); err != nil {
						return err
					}
					_, err := env.ApplyYAML(ctx, "",
						glusterVolume(env.Namespace+"-"+name, env.Namespace, name, 8*mebibyte, project))
					if err != nil {
						return err
					}
				}
				return nil
			}},
			{Name: "wait for two", Run: func(ctx context.Context, env perturb.Env) error {
				if err := limited(ctx, env.Namespace+"-one", "one"); err != nil {
					return err
				}
				return limited(ctx, env.Namespace+"-two", "two")
			}},
			{Name: "grow one", Run: func(ctx context.Context, env perturb.Env) error {
				_, err := env.ApplyYAML(ctx, "",
					glusterVolume(env.Namespace+"-one", env.Namespace, "one", 12*mebibyte, of(env.Namespace).first))
				return err
			}},
			{Name: "delete the other", Run: func(ctx context.Context, env perturb.Env) error {
				if err := c.removeDirectory(env.Namespace, "two"); err != nil {
					return err
				}
				return volumes.Delete(ctx, env.Namespace+"-two", metav1.DeleteOptions{})
			}},
		},
		Done: func(ctx context.Context, env perturb.Env) error {
			if _, err := volumes.Get(ctx, env.Namespace+"-two", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("the deleted GlusterVolume exists: %w", err)
			}
			gv, err := volumes.Get(ctx, env.Namespace+"-one", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if err := enforced(gv, 2); err != nil {
				return err
			}
			id := of(env.Namespace)
			return c.limits(map[uint32]uint64{id.first: 12 * mebibyte, id.second: 0})
		},
	})
}
