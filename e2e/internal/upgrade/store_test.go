//go:build linux

package upgrade

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
)

// namespace is that of the stored objects.
const namespace = "stored"

//go:embed objects.yaml
var objectsManifest string

// volatile resources belong to Kubernetes, which makes them again.
var volatile = []string{"events", "leases", "endpoints", "endpointslices"}

// TestStore writes the objects that the services of a revision make to testdata.
func TestStore(t *testing.T) {
	revision := from(t)
	root, err := env.Root()
	require.NoError(t, err)
	describe := exec.CommandContext(t.Context(), "git", "-C", root, "describe", "--tags", "--always", revision)
	label, err := describe.Output()
	require.NoError(t, err)
	release := t.TempDir()
	require.NoError(t, env.BuildRelease(t.Context(), root, revision, release, services...))

	cp := testkit.New(t)
	for _, service := range services {
		_, err := env.Install(t.Context(), cp, release, service)
		require.NoError(t, err)
	}
	basePath, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	start(t, cp, release, basePath)
	agent, err := env.StartVolumeAgent(t.Context(), cp, release, "node-001", basePath)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, agent.Stop()) })
	runner, err := env.StartFakeRunner(cp, release)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, runner.Stop()) })

	_, err = cp.Kubectl(t.Context(), "create", "namespace", namespace)
	require.NoError(t, err)
	owner := fmt.Sprintf("{uid: %d, fsGroup: %d}", os.Getuid(), os.Getgid())
	_, err = cp.ApplyYAML(t.Context(), namespace,
		strings.NewReplacer("BASE_PATH", basePath, "OWNER", owner).Replace(objectsManifest))
	require.NoError(t, err)
	for _, args := range [][]string{
		{"--for=condition=Ready", "kafkaconnector/small", "kafkaconnector/large", "kafkaconnector/with-defaults"},
		{"--for=jsonpath={.status.state}=Paused", "kafkaconnector/paused"},
		{"--for=jsonpath={.status.state}=Stopped", "kafkaconnector/stopped"},
		{"--for=condition=Ready", "kafkalocalvolumeset/brokers", "pod/kafka-0", "pod/kafka-1", "pod/kafka-2"},
		{"--for=jsonpath={.status.observedGeneration}=1", "kafkadrainpolicy/connectors", "kafkadrainpolicy/brokers"},
	} {
		_, err := cp.Kubectl(t.Context(), append([]string{"wait", "-n", namespace, "--timeout=" + timeout.String()},
			args...)...)
		require.NoError(t, err)
	}

	var stored []*unstructured.Unstructured
	since := time.Now()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		now, err := list(ctx, cp)
		if err != nil {
			return err
		}
		if len(now) != len(stored) || changes(stored, now) != nil {
			stored, since = now, time.Now()
		}
		if time.Since(since) < 10*time.Second {
			return errors.New("the objects change")
		}
		return nil
	})
	file := filepath.Join("testdata", strings.TrimSpace(string(label))+suffix)
	write(t, file, stored)
	t.Logf("%s has %d objects", file, len(stored))
}

// list returns the namespace and its objects, the nodes, and the cluster-scoped objects of volume-provisioner, in a
// fixed order.
func list(ctx context.Context, cp *testkit.ControlPlane) ([]*unstructured.Unstructured, error) {
	lists, err := cp.Client().Discovery().ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, resources := range lists {
		group, err := schema.ParseGroupVersion(resources.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range resources.APIResources {
			cluster := slices.Contains([]string{"namespaces", "nodes", "persistentvolumes", "localvolumenodes"}, resource.Name)
			if !slices.Contains(resource.Verbs, "list") || slices.Contains(volatile, resource.Name) ||
				!resource.Namespaced && !cluster {
				continue
			}
			client := cp.Dynamic().Resource(group.WithResource(resource.Name))
			in := ""
			if resource.Namespaced {
				in = namespace
			}
			found, err := client.Namespace(in).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", resource.Name, err)
			}
			for i := range found.Items {
				// Kubernetes makes the ConfigMap in every namespace.
				object := &found.Items[i]
				other := object.GetKind() == "Namespace" && object.GetName() != namespace
				if !other && object.GetName() != "kube-root-ca.crt" {
					objects = append(objects, object)
				}
			}
		}
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int { return strings.Compare(name(a), name(b)) })
	return objects, nil
}
