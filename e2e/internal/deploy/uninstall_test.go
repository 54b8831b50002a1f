package deploy

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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

func TestDeletionOfOneServiceKeepsCustomResourcesTheNamespaceAndTheOtherService(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	services := map[string]string{"connect-scheduler": "drain-cleaner", "drain-cleaner": "connect-scheduler"}
	for service, other := range services {
		t.Run(service, func(t *testing.T) {
			kubectl := func(args ...string) string {
				t.Helper()
				output, err := cp.Kubectl(t.Context(), args...)
				require.NoError(t, err)
				return output
			}
			requireAvailable(t, cp, filepath.Join(deploy, service), system)
			requireAvailable(t, cp, filepath.Join(deploy, other), system)
			_, err := cp.ApplyYAML(t.Context(), "", connector+"---"+policy)
			require.NoError(t, err)
			objects := []string{
				"get", "-o", "jsonpath={.items[*].metadata.uid}", "-n", "default",
				"namespace/" + system, "crd/kafkaconnectors.io.confluent.csid", "crd/kafkaconnects.io.confluent.csid",
				"crd/kafkadrainpolicies.drain.weir.dev", "kafkaconnector/test", "kafkadrainpolicy/test",
			}
			before := kubectl(objects...)

			kubectl("delete", "-k", filepath.Join(deploy, service), "--wait=true")

			require.Equal(t, before, kubectl(objects...))
			require.Empty(t, kubectl("get", "-k", filepath.Join(deploy, service), "--ignore-not-found"))
			requireUnchanged(t, cp, filepath.Join(deploy, other))
		})
	}
}
