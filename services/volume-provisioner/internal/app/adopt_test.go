package app_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/app"
)

const persistentVolume = `apiVersion: v1
kind: PersistentVolume
metadata: {name: data-kafka-0}
spec:
  claimRef: {name: data-kafka-0, namespace: kafka}
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local-storage
  local: {path: /mnt/data/data-kafka-0}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - {key: kubernetes.io/hostname, operator: In, values: [node-1]}
`

func adopt(t *testing.T, input string, arguments ...string) (string, error) {
	t.Helper()
	command := app.Command()
	var output bytes.Buffer
	command.SetIn(strings.NewReader(input))
	command.SetOut(&output)
	command.SetErr(&output)
	command.SetArgs(append([]string{"adopt"}, arguments...))
	err := command.ExecuteContext(t.Context())
	return output.String(), err
}

func TestAdoptPrintsSetsOfStreamsAndLists(t *testing.T) {
	t.Parallel()
	list := "apiVersion: v1\nkind: List\nitems:\n- " +
		strings.TrimSpace(strings.ReplaceAll(persistentVolume, "\n", "\n  ")) + "\n"
	for _, input := range []string{persistentVolume, "---\n" + persistentVolume + "---\n", list} {
		output, err := adopt(t, input, "-f", "-")
		require.NoError(t, err)
		require.Contains(t, output, "# spec.nodes has the values of the label kubernetes.io/hostname.")
		require.Contains(t, output, "kind: KafkaLocalVolumeSet\nmetadata:\n  name: data-kafka\n  namespace: kafka\n")
		require.NotContains(t, output, "status")
	}
}

func TestAdoptRefusesOtherInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		input, want string
		arguments   []string
	}{
		"no flag":         {want: `required flag(s) "filename" not set`},
		"no file":         {arguments: []string{"-f", "/does/not/exist"}, want: "--filename=/does/not/exist: open"},
		"another kind":    {arguments: []string{"-f", "-"}, input: "kind: Pod", want: "kind Pod is not PersistentVolume"},
		"not YAML":        {arguments: []string{"-f", "-"}, input: "{", want: "--filename=-: document 1:"},
		"an empty stream": {arguments: []string{"-f", "-"}, want: "there are no PersistentVolumes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := adopt(t, c.input, c.arguments...)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAgentFlagsAreValidated(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"--node-name=":                   `--node-name="": must be set`,
		"--machine-id-file=machine-id":   "--machine-id-file=machine-id: must be an absolute path",
		"--recheck-interval=1ms":         "--recheck-interval=1ms: must be at least 1s",
		"--disk-timeout=0s":              "--disk-timeout=0s: must be at least 1s",
		"--allowed-base-paths=/mnt/../x": "--allowed-base-paths=/mnt/../x: must be an absolute path",
		"--allowed-base-paths=/":         "--allowed-base-paths=/: must be an absolute path other than /",
	} {
		command := app.Command()
		command.SetOut(&bytes.Buffer{})
		command.SetErr(&bytes.Buffer{})
		command.SetArgs([]string{"agent", "--node-name=node-1", flag})
		require.ErrorContains(t, command.ExecuteContext(t.Context()), want)
	}
}
