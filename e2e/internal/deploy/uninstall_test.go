package deploy

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

const connector = `
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: test, namespace: default}
spec:
  connector: {image: "runner:1"}
  task: {image: "runner:1"}
  workerConfigSecret: {name: worker-config}
  connectorConfig: {connector.class: X}
`

const policy = `
apiVersion: drain.weir.dev/v1alpha1
kind: KafkaDrainPolicy
metadata: {name: test, namespace: default}
spec: {podSelector: {matchLabels: {app: kafka}}, bootstrapServers: "kafka:9092"}
`

func TestAServiceIsDeletedAndInstalledAloneAndTheRestStays(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	all := filepath.Join(deploy, "overlays", "all")
	requireAvailable(t, cp, all)
	_, err := cp.ApplyYAML(t.Context(), "", connector+"---"+policy)
	require.NoError(t, err)
	kept := []string{
		"get", "-o", "jsonpath={.items[*].metadata.uid}", "-n", "default", "namespace/" + system,
		"namespace/" + privileged, "kafkaconnector/test", "kafkadrainpolicy/test",
	}
	before, definitions := kubectl(t, cp, kept...), kubectl(t, cp, "get", "crd", "-o", "name")
	for _, service := range services(t) {
		t.Run(filepath.Base(service), func(t *testing.T) {
			others := map[string]string{}
			for _, other := range services(t) {
				if other != service {
					others[other] = kubectl(t, cp, "get", "-k", other, "-o", "jsonpath={.items[*].metadata.uid}")
				}
			}

			kubectl(t, cp, "delete", "-k", service, "--wait=true")

			require.Empty(t, kubectl(t, cp, "get", "-k", service, "--ignore-not-found"))
			require.Equal(t, before, kubectl(t, cp, kept...))
			require.Equal(t, definitions, kubectl(t, cp, "get", "crd", "-o", "name"))
			for other, uids := range others {
				require.Equal(t, uids, kubectl(t, cp, "get", "-k", other, "-o", "jsonpath={.items[*].metadata.uid}"))
			}
			requireAvailable(t, cp, service)
			requireUnchanged(t, cp, service)
		})
	}
}

func TestDeletionOfAllServicesLeavesOnlyTheBase(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	all := filepath.Join(deploy, "overlays", "all")
	before := objects(t, cp)
	requireAvailable(t, cp, all)
	require.NotEqual(t, before, objects(t, cp))

	kubectl(t, cp, "delete", "-k", all, "--wait=true")

	testkit.Eventually(t, 2*time.Minute, func(context.Context) error {
		if after := objects(t, cp); !slices.Equal(before, after) {
			return fmt.Errorf("before %q, after %q", before, after)
		}
		return nil
	})
}

// objects returns the kind and name of all objects that have the label of Weir or that are in one of its namespaces,
// without events.
func objects(t *testing.T, cp *testkit.ControlPlane) []string {
	t.Helper()
	found := map[string]bool{}
	for _, scope := range [][]string{{"-A", "-l", "app.kubernetes.io/part-of=weir"}, {"-n", system}, {"-n", privileged}} {
		resources := []string{"api-resources", "--verbs=list", "-o", "name"}
		if scope[0] == "-n" {
			resources = append(resources, "--namespaced")
		}
		kinds := slices.DeleteFunc(strings.Fields(kubectl(t, cp, resources...)), func(kind string) bool {
			return strings.HasPrefix(kind, "events")
		})
		output := kubectl(t, cp, append([]string{"get", strings.Join(kinds, ","), "-o", "name"}, scope...)...)
		for name := range strings.Lines(output) {
			found[strings.Join(scope, " ")+" "+strings.TrimSpace(name)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// kubectl runs kubectl as an administrator and returns its output.
func kubectl(t *testing.T, cp *testkit.ControlPlane, args ...string) string {
	t.Helper()
	output, err := cp.Kubectl(t.Context(), args...)
	require.NoError(t, err)
	return output
}
