//go:build linux

package pods

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

// upgradeFrom names the revision of the previous release. `make e2e-upgrade` sets it.
const upgradeFrom = "WEIR_UPGRADE_FROM"

// newTag replaces the tag latest, which is the previous release, in the manifests of this tree.
const newTag = "upgraded"

// policies are one policy of the connectors, and one of the brokers with a Kafka cluster that drain-cleaner queries.
const policies = `
apiVersion: drain.weir.dev/v1alpha1
kind: KafkaDrainPolicy
metadata: {name: connectors}
spec:
  podSelector: {matchLabels: {io.confluent.csid.connect.connector: numbers}}
  role: connect
  mode: SelfCheck
---
apiVersion: drain.weir.dev/v1alpha1
kind: KafkaDrainPolicy
metadata: {name: brokers}
spec:
  podSelector: {matchLabels: {app: kafka}}
  mode: SelfCheck
  bootstrapServers: %q
`

// workload is a Deployment or DaemonSet of a service.
type workload struct{ service, kind, name string }

func (w workload) namespace() string {
	if w.kind == "daemonset" {
		return privileged
	}
	return env.Namespace
}

var upgraded = []workload{
	{"connect-scheduler", "deployment", "connect-scheduler"},
	{"drain-cleaner", "deployment", "drain-cleaner"},
	{"volume-provisioner", "deployment", "volume-provisioner"},
	{"volume-provisioner", "daemonset", "volume-provisioner-agent"},
}

// previousRelease writes the files of the previous release to a directory and builds its services there.
func previousRelease(t *testing.T, root string, services ...string) string {
	t.Helper()
	revision := os.Getenv(upgradeFrom)
	if revision == "" {
		t.Skip("the revision of the previous release is not known: run make e2e-upgrade, or set " + upgradeFrom)
	}
	dir := t.TempDir()
	require.NoError(t, env.BuildRelease(t.Context(), root, revision, dir, services...), upgradeFrom)
	return dir
}

// startRelease starts three nodes with the images of the previous release and of this tree, and installs the
// previous release.
func startRelease(t *testing.T) (root string, c *connectors) {
	t.Helper()
	testkit.NeedsControlPlane(t)
	kubelet.Need(t)
	root, err := env.Root()
	require.NoError(t, err)
	services := []string{"connect-scheduler", "drain-cleaner", "volume-provisioner"}
	previous := previousRelease(t, root, services...)
	images := map[string]kubelet.Image{"runner:1": runnerImage(t, root), "shell": {Entrypoint: []string{"sh", "-c"}}}
	for _, service := range services {
		images[strings.TrimSuffix(imageOf(service), "latest")+newTag] = binary(t, root, service)
		program := "/usr/local/bin/" + service
		images[imageOf(service)] = kubelet.Image{
			Files:      map[string]string{program: filepath.Join(previous, "bin", service)},
			Entrypoint: []string{program}, User: 65532,
		}
	}
	broker := kafka.Start(t, kafka.Options{Properties: "group.initial.rebalance.delay.ms=0\n"})
	c = &connectors{startCluster(t, 3, kubelet.Config{Images: images, Ports: broker.Ports}), broker}
	for _, node := range c.nodes {
		require.NoError(t, os.MkdirAll(filepath.Join(node.HostDir(), "mnt", "data"), 0o755))
	}
	for _, w := range upgraded {
		c.install(previous, w.service, w.kind+"/"+w.name)
	}
	return root, c
}

// upgrade applies the manifests of this tree with its images, and waits until only their pods exist and lead.
func (c *cluster) upgrade(root string) {
	c.Helper()
	_, err := c.cp.Kubectl(c.Context(), "apply", "-k", filepath.Join(root, "deploy", "base"))
	require.NoError(c, err)
	for _, w := range upgraded {
		manifests, err := c.cp.Kubectl(c.Context(), "kustomize", filepath.Join(root, "deploy", w.service))
		require.NoError(c, err)
		image := imageOf(w.service)
		require.Contains(c, manifests, image)
		manifests = strings.ReplaceAll(manifests, image, strings.TrimSuffix(image, "latest")+newTag)
		_, err = c.cp.KubectlIn(c.Context(), manifests, "apply", "-f", "-")
		require.NoError(c, err)
	}
	for _, w := range upgraded {
		_, err := c.cp.Kubectl(c.Context(), "rollout", "status", "-n", w.namespace(), w.kind+"/"+w.name,
			"--timeout="+timeout.String())
		require.NoError(c, err)
	}
	testkit.Eventually(c.T, timeout, c.led)
}

// led returns nil if all pods of the services have the new image and hold the leases.
func (c *cluster) led(ctx context.Context) error {
	names := map[string]bool{}
	for _, namespace := range []string{env.Namespace, privileged} {
		list, err := c.cp.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, pod := range list.Items {
			if image := pod.Spec.Containers[0].Image; !strings.HasSuffix(image, ":"+newTag) {
				return fmt.Errorf("pod %s has the image %s", pod.Name, image)
			}
			names[pod.Name] = true
		}
	}
	leases, err := c.cp.Client().CoordinationV1().Leases(env.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(leases.Items) == 0 {
		return errors.New("no service has a lease")
	}
	for _, lease := range leases.Items {
		holder := ""
		if lease.Spec.HolderIdentity != nil {
			holder = *lease.Spec.HolderIdentity
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(name string) bool {
			return strings.HasPrefix(holder, name)
		}) {
			return fmt.Errorf("lease %s is held by %q", lease.Name, holder)
		}
	}
	return nil
}

// versions returns the UID and resource version of the user's objects and of what the services have made: everything in
// the namespace of the test, the volumes, and the Secrets of the services.
func (c *cluster) versions(ctx context.Context) (map[string]string, error) {
	lists, err := c.cp.Client().Discovery().ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			var namespaces []string
			switch {
			case !slices.Contains(resource.Verbs, "list"), resource.Name == "events", resource.Name == "leases":
			case resource.Namespaced && resource.Name == "secrets":
				namespaces = []string{c.namespace, env.Namespace, privileged}
			case resource.Namespaced:
				namespaces = []string{c.namespace}
			case resource.Name == "persistentvolumes", group.Group == "storage.weir.dev":
				namespaces = []string{""}
			}
			for _, namespace := range namespaces {
				found, err := c.cp.Dynamic().Resource(group.WithResource(resource.Name)).Namespace(namespace).
					List(ctx, metav1.ListOptions{})
				if err != nil {
					return nil, fmt.Errorf("list %s: %w", resource.Name, err)
				}
				for _, o := range found.Items {
					versions[resource.Name+" "+namespace+"/"+o.GetName()] = string(o.GetUID()) + " " + o.GetResourceVersion()
				}
			}
		}
	}
	return versions, nil
}

// settled returns the versions after nothing has been written for some seconds.
func (c *cluster) settled() map[string]string {
	c.Helper()
	var last map[string]string
	since := time.Now()
	testkit.Eventually(c.T, timeout, func(ctx context.Context) error {
		now, err := c.versions(ctx)
		if err != nil {
			return err
		}
		if changes := differences(last, now); len(changes) > 0 || len(now) != len(last) {
			last, since = now, time.Now()
			return fmt.Errorf("changed: %s", strings.Join(changes, ", "))
		}
		if quiet := time.Since(since); quiet < 3*time.Second {
			return fmt.Errorf("nothing has changed for only %s", quiet)
		}
		return nil
	})
	return last
}

// differences lists the objects of before that are deleted, replaced or written.
func differences(before, after map[string]string) []string {
	var changes []string
	for name, version := range before {
		if after[name] != version {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", name, version, after[name]))
		}
	}
	slices.Sort(changes)
	return changes
}

func TestUpgradeTakesOverObjectsWithoutRestartsAndWrites(t *testing.T) {
	t.Parallel()
	root, c := startRelease(t)
	topic := c.broker.CreateTopic(t, "numbers", 2)
	c.applySource("numbers", topic, 2)
	c.apply(brokers)
	c.kubectl("wait", "--for=condition=Ready", "--timeout="+timeout.String(), "kafkalocalvolumeset/brokers")
	c.apply(statefulSet)
	c.apply(fmt.Sprintf(policies, c.broker.Bootstrap()))
	volumes{c.cluster}.started(1)
	c.ready("numbers")
	c.grows(topic)

	before := c.settled()
	counts := map[string]int{}
	for name := range before {
		kind, _, _ := strings.Cut(name, " ")
		counts[kind]++
	}
	for _, kind := range []string{
		"kafkaconnectors", "kafkalocalvolumesets", "localvolumenodes", "kafkadrainpolicies", "persistentvolumes", "pods",
	} {
		require.NotZero(t, counts[kind], kind)
	}
	began := time.Now()
	c.upgrade(root)
	require.Empty(t, differences(before, c.settled()))

	// New objects are served by the new release after it has seen the existing ones.
	letters := c.broker.CreateTopic(t, "letters", 2)
	c.applySource("letters", letters, 1)
	c.ready("letters")
	c.apply(strings.NewReplacer("name: brokers", "name: second", "data-kafka", "data-second").Replace(brokers))
	c.kubectl("wait", "--for=condition=Ready", "--timeout="+timeout.String(), "kafkalocalvolumeset/second")
	after := c.settled()
	unchanged := len(before)
	// The new set adds its volumes to the nodes.
	for name := range before {
		if strings.HasPrefix(name, "localvolumenodes ") {
			delete(before, name)
		}
	}
	require.Empty(t, differences(before, after))
	t.Logf("%d objects are unchanged after the upgrade of %d workloads (%.1f s): %v", unchanged, len(upgraded),
		time.Since(began).Seconds(), counts)

	// The new release changes what the previous one has made.
	zero, one := c.pod("numbers-tasks-0").UID, c.pod("numbers-tasks-1").UID
	c.applySource("numbers", topic, 3)
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		for _, pod := range c.pods(ctx) {
			if pod.Name == "numbers-tasks-2" && env.Ready(&pod) {
				return nil
			}
		}
		return errors.New("numbers-tasks-2 is not ready")
	})
	require.Equal(t, zero, c.pod("numbers-tasks-0").UID)
	require.Equal(t, one, c.pod("numbers-tasks-1").UID)
	c.kubectl("delete", "statefulset/kafka", "--cascade=foreground")
	c.kubectl("delete", "pvc", "-l", "app=kafka")
	c.apply(statefulSet)
	volumes{c.cluster}.started(2)
	c.kubectl("patch", "kafkadrainpolicy/brokers", "--type=merge", "-p", `{"spec":{"maxConcurrent":2}}`)
	c.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", "--timeout="+timeout.String(),
		"kafkadrainpolicy/brokers")
	c.deletes("numbers")
	c.requireComplete(topic, 3)
}
