package properties

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/env"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// subject is the controller and the agent of one node, each under its own ServiceAccount. Each run has its own base
// path below root.
func subject(root string) perturb.Subject {
	labelled := func(string) metav1.ListOptions {
		return metav1.ListOptions{LabelSelector: "weir.dev/local-volume=true"}
	}
	return perturb.Subject{
		Prepare: func(ctx context.Context, e env.Env) error {
			if err := os.MkdirAll(filepath.Join(root, e.Namespace, "data"), 0o750); err != nil {
				return err
			}
			return addNode(ctx, e)
		},
		Processes: []perturb.Process{
			{
				Name:     "controller",
				Identity: func(context.Context, env.Env) (*rest.Config, error) { return rest.CopyConfig(account), nil },
				Run: func(ctx context.Context, config *rest.Config, _ string) error {
					return testenv.Run(ctx, config)
				},
			},
			{
				Name: "agent",
				Identity: func(_ context.Context, e env.Env) (*rest.Config, error) {
					return testenv.AgentIdentity(e.ControlPlane, e.Namespace+"-node"), nil
				},
				Run: func(ctx context.Context, config *rest.Config, namespace string) error {
					return testenv.RunAgent(ctx, config, namespace+"-node", filepath.Join(root, namespace, "data"))
				},
			},
		},
		Compare: append(
			snapshot.Namespaced(resource("storage.weir.dev", "v1alpha1", "kafkalocalvolumesets"),
				resource("", "v1", "persistentvolumeclaims")),
			snapshot.Listing{
				Resource: resource("", "v1", "persistentvolumes"), ClusterScoped: true, Options: labelled,
			},
			snapshot.Listing{
				Resource: resource("storage.weir.dev", "v1alpha1", "localvolumenodes"), ClusterScoped: true,
			},
		),
		Normalize: []snapshot.Normalizer{dropChosen},
		Cleanup:   removeAll,
	}
}

// dropChosen removes what others choose: the free space of this machine, the form of a claimRef, which the binder
// completes unless the claim's uid was in it, and the capacity of a claim, which is the size of the volume when it was
// bound.
func dropChosen(o *unstructured.Unstructured) {
	switch o.GetKind() {
	case "LocalVolumeNode":
		unstructured.RemoveNestedField(o.Object, "status", "available")
		systems, _, _ := unstructured.NestedSlice(o.Object, "status", "fileSystems")
		for _, fs := range systems {
			delete(fs.(map[string]any), "availableBytes")
		}
		if systems != nil {
			_ = unstructured.SetNestedSlice(o.Object, systems, "status", "fileSystems")
		}
	case "PersistentVolumeClaim":
		unstructured.RemoveNestedField(o.Object, "status", "capacity")
	case "PersistentVolume":
		unstructured.RemoveNestedField(o.Object, "spec", "claimRef", "apiVersion")
		unstructured.RemoveNestedField(o.Object, "spec", "claimRef", "kind")
	}
}

// createClaims creates the claims of n replicas.
func createClaims(n int, size string) perturb.Step {
	return perturb.Step{Name: "create claims of " + size, Run: func(ctx context.Context, env perturb.Env) error {
		var stream strings.Builder
		for i := range n {
			for _, name := range []string{"data", "log"} {
				fmt.Fprintf(&stream, `
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s-%s-%d}
spec:
  storageClassName: local-storage
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: %s}}
`, name, env.Namespace, i, size)
			}
		}
		_, err := env.ApplyYAML(ctx, env.Namespace, stream.String())
		return err
	}}
}

func wait(ready string, bound int) perturb.Step {
	return perturb.Step{
		Name: fmt.Sprintf("wait for %s ready and %d bound", ready, bound),
		Run: func(ctx context.Context, env perturb.Env) error {
			return testkit.Poll(ctx, ready, func(ctx context.Context) error { return has(ready, bound)(ctx, env) })
		},
	}
}

// TestReinstallationScaleAndGrowthUnderPerturbation installs a set, reinstalls its claims while it is scaled down, and
// scales it up with larger volumes.
func TestReinstallationScaleAndGrowthUnderPerturbation(t *testing.T) {
	root := t.TempDir()
	apply := func(replicas int, size string) perturb.Step {
		return perturb.Step{
			Name: fmt.Sprintf("apply the set with %d replicas of %s", replicas, size),
			Run: func(ctx context.Context, env perturb.Env) error {
				manifest := strings.Replace(set(env.Namespace, replicas, size), "/mnt/data/"+env.Namespace,
					filepath.Join(root, env.Namespace, "data"), 1)
				_, err := env.ApplyYAML(ctx, env.Namespace, manifest)
				return err
			},
		}
	}
	deleteClaims := perturb.Step{Name: "delete the claims", Run: func(ctx context.Context, env perturb.Env) error {
		_, err := env.Kubectl(ctx, "delete", "pvc", "--all", "--wait=true", "-n", env.Namespace)
		return err
	}}
	perturb.Replay(t, controlPlane(t), perturb.Scenario{
		Name: "reinstall, scale and grow", Subject: subject(root), PauseDuration: 500 * time.Millisecond, Parallel: 1,
		Kills: 3,
		Steps: []perturb.Step{
			createClaims(2, "1Gi"), apply(2, "1Gi"), wait("4/4", 4),
			apply(1, "1Gi"), deleteClaims, createClaims(2, "1Gi"), wait("2/2", 2),
			apply(2, "2Gi"),
		},
		Done: has("4/4", 4),
	})
}
