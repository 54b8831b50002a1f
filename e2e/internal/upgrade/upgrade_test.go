//go:build linux

// Package upgrade tests that services take over the objects that earlier releases have made. The objects are stored in
// testdata, so that no earlier release is built and no pod runs.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/restore"
)

const (
	// timeout is long enough for a busy machine.
	timeout = 2 * time.Minute
	// quiet is the time without a reconcile after which a service has seen all objects.
	quiet = 2 * time.Second
	// addedManifest is a connector that the services of this tree serve after the stored ones. The stored policies do not
	// select its pods.
	addedManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: added}
---
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: added, namespace: added}
spec:
  connector: {image: "runner:1"}
  task: {image: "runner:1"}
  workerConfigSecret: {name: worker-config}
  connectorConfig: {connector.class: X, tasks.max: "1"}
`
)

var services = []string{"connect-scheduler", "drain-cleaner", "volume-provisioner"}

func TestMain(m *testing.M) { testkit.Main(m) }

func TestStoredObjectsOfEarlierReleasesAreTakenOverWithoutAWrite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*"+suffix))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), suffix), func(t *testing.T) {
			stored, err := read(file)
			require.NoError(t, err)
			takenOver(t, stored)
		})
	}
}

// takenOver restores objects and requires that the services of this tree change none of them.
func takenOver(t *testing.T, stored []*unstructured.Unstructured) {
	t.Helper()
	root, err := env.Root()
	require.NoError(t, err)
	for _, service := range services {
		require.NoError(t, env.Build(t.Context(), root, service))
	}
	cp := testkit.New(t, testkit.WithNodes(0), testkit.WithPreparation(
		func(ctx context.Context, cp *testkit.ControlPlane) error {
			for _, service := range services {
				if _, err := env.Install(ctx, cp, root, service); err != nil {
					return err
				}
			}
			return restore.Objects(ctx, cp, stored...)
		}))
	// Before the services start, only Kubernetes can have changed an object.
	before := settled(t, cp, stored)
	for i, object := range before {
		require.Equal(t, stored[i].GetUID(), object.GetUID())
		for _, part := range []string{"spec", "data", "status"} {
			require.Equal(t, stored[i].Object[part], object.Object[part], "%s of %s", part, name(object))
		}
	}

	running := start(t, cp, root, set(stored).basePath())
	for service, process := range running {
		idle(t, service, process)
	}
	require.NoError(t, changes(before, current(t, cp, stored)))

	// New objects are served, so the services have synced their caches.
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	_, err = cp.ApplyYAML(t.Context(), "", addedManifest)
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		connector, err := weir.IoV1().KafkaConnectors("added").Get(ctx, "added", metav1.GetOptions{})
		if err == nil && connector.Status.ObservedGeneration != connector.Generation {
			err = errors.New("connect-scheduler has not served it")
		}
		return err
	})
	idle(t, "connect-scheduler", running["connect-scheduler"])
	require.NoError(t, changes(before, current(t, cp, stored)))

	// A change of a stored object is served, and this test notices the write.
	_, err = cp.Kubectl(t.Context(), "patch", "kafkadrainpolicy/brokers", "-n", namespace, "--type=merge",
		"-p", `{"spec":{"maxConcurrent":2}}`)
	require.NoError(t, err)
	_, err = cp.Kubectl(t.Context(), "wait", "kafkadrainpolicy/brokers", "-n", namespace,
		"--for=jsonpath={.status.observedGeneration}=2", "--timeout="+timeout.String())
	require.NoError(t, err)
	require.ErrorContains(t, changes(before, current(t, cp, stored)),
		"KafkaDrainPolicy "+namespace+"/brokers is written by drain-cleaner")

	kinds := map[string]int{}
	for _, object := range stored {
		kinds[object.GetKind()]++
	}
	t.Logf("%d stored objects are unchanged: %v", len(stored), kinds)
	for _, kind := range []string{
		"KafkaConnector", "KafkaConnect", "KafkaDrainPolicy", "KafkaLocalVolumeSet", "LocalVolumeNode", "PersistentVolume",
		"Pod", "StatefulSet", "Secret",
	} {
		require.NotZero(t, kinds[kind], kind)
	}
}

// start starts the services. The agent of volume-provisioner does not run: it would report the disks of this machine.
func start(t *testing.T, cp *testkit.ControlPlane, root, basePath string) map[string]*env.Service {
	t.Helper()
	running := map[string]*env.Service{}
	for service, start := range map[string]func() (*env.Service, error){
		"connect-scheduler": func() (*env.Service, error) { return env.StartConnectScheduler(t.Context(), cp, root) },
		"drain-cleaner":     func() (*env.Service, error) { return env.StartDrainCleaner(t.Context(), cp, root) },
		"volume-provisioner": func() (*env.Service, error) {
			return env.StartVolumeProvisioner(t.Context(), cp, root, basePath)
		},
	} {
		process, err := start()
		require.NoError(t, err)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s:\n%s", service, process.Tail(20))
			}
			assert.NoError(t, process.Stop())
		})
		running[service] = process
	}
	return running
}

// idle waits until a service has reconciled and no reconcile has followed for some time.
func idle(t *testing.T, service string, process *env.Service) {
	t.Helper()
	last, since := 0.0, time.Now()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		metrics, err := process.Metrics(ctx)
		if err != nil {
			return err
		}
		if now := metrics.Sum("weir_reconciles_total"); now != last {
			last, since = now, time.Now()
		}
		if last == 0 || time.Since(since) < quiet {
			return fmt.Errorf("%s: %v reconciles, the last less than %s ago", service, last, time.Since(since))
		}
		return nil
	})
}

// settled returns the objects after Kubernetes has changed none for some time.
func settled(t *testing.T, cp *testkit.ControlPlane, stored []*unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	last, since := current(t, cp, stored), time.Now()
	testkit.Eventually(t, timeout, func(context.Context) error {
		now := current(t, cp, stored)
		if err := changes(last, now); err != nil {
			last, since = now, time.Now()
			return err
		}
		if time.Since(since) < quiet {
			return errors.New("the last change is too recent")
		}
		return nil
	})
	return last
}

// current returns the objects as they are now.
func current(t *testing.T, cp *testkit.ControlPlane, stored []*unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	objects := make([]*unstructured.Unstructured, len(stored))
	for i, object := range stored {
		client, err := cp.ResourceFor(object, "")
		require.NoError(t, err)
		objects[i], err = client.Get(t.Context(), object.GetName(), metav1.GetOptions{})
		require.NoError(t, err, name(object))
	}
	return objects
}

// changes returns an error that lists the objects that are replaced, deleted or written, with their last writers.
func changes(before, after []*unstructured.Unstructured) error {
	var errs []error
	for i, object := range after {
		switch {
		case object.GetUID() != before[i].GetUID():
			errs = append(errs, fmt.Errorf("%s is replaced", name(object)))
		case object.GetResourceVersion() != before[i].GetResourceVersion():
			writers := object.GetManagedFields()
			slices.SortFunc(writers, func(a, b metav1.ManagedFieldsEntry) int { return b.Time.Compare(a.Time.Time) })
			writer := "an unknown client"
			if len(writers) > 0 {
				writer = writers[0].Manager
			}
			errs = append(errs, fmt.Errorf("%s is written by %s\nbefore: %v\nafter: %v", name(object), writer,
				before[i].Object, object.Object))
		}
	}
	return errors.Join(errs...)
}

func name(object *unstructured.Unstructured) string {
	return object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
}

// volumeSet is the stored KafkaLocalVolumeSet.
type volumeSet struct{ *unstructured.Unstructured }

func set(stored []*unstructured.Unstructured) volumeSet {
	for _, object := range stored {
		if object.GetKind() == "KafkaLocalVolumeSet" {
			return volumeSet{object}
		}
	}
	panic("no KafkaLocalVolumeSet is stored")
}

func (s volumeSet) basePath() string {
	path, _, _ := unstructured.NestedString(s.Object, "spec", "basePath")
	return path
}

// from names the revision whose objects TestStore stores. `make e2e-stored` sets it.
func from(t *testing.T) string {
	t.Helper()
	const variable = "WEIR_STORE_FROM"
	revision := os.Getenv(variable)
	if revision == "" {
		t.Skip("this writes testdata: run make e2e-stored, which sets " + variable)
	}
	return revision
}
