//go:build linux

package app_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/app"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

const kadaluVolume = `apiVersion: v1
kind: PersistentVolume
metadata:
  name: pvc-1
  uid: 7f0f2ad4-6f0c-4d39-8a4e-6cbd40d7a5b6
  resourceVersion: "5"
  annotations: {pv.kubernetes.io/provisioned-by: kadalu}
  finalizers: [kubernetes.io/pv-protection]
spec:
  accessModes: [ReadWriteMany]
  capacity: {storage: 1Gi}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, name: data, namespace: apps, resourceVersion: "3", uid: 0d7b}
  csi:
    driver: kadalu
    fsType: xfs
    volumeHandle: pvc-1
    volumeAttributes:
      fstype: xfs
      gserver: node1
      gvolname: volume_name
      hostvol: ext-storage
      options: log-level=DEBUG
      path: PATH
      pvtype: subvol
      type: External
  persistentVolumeReclaimPolicy: Delete
  storageClassName: kadalu.ext-storage
status: {phase: Bound}
`

const kadaluStorage = `apiVersion: kadalu-operator.storage/v1alpha1
kind: KadaluStorage
metadata: {name: ext-storage, namespace: kadalu}
spec:
  type: External
  details:
  - gluster_hosts: [node1, node2]
    gluster_volname: volume_name
    gluster_options: log-level=DEBUG
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

func volume(change ...string) string {
	text := strings.NewReplacer(change...).Replace(kadaluVolume)
	return strings.Replace(text, "PATH", decide.DataPath("pvc-1"), 1)
}

func TestAdoptPrintsReplacementsOfStreamsAndLists(t *testing.T) {
	t.Parallel()
	stream := volume() + "---\n" + kadaluStorage
	indent := func(text string) string {
		return "- " + strings.TrimSpace(strings.ReplaceAll(text, "\n", "\n  ")) + "\n"
	}
	list := "apiVersion: v1\nkind: List\nitems:\n" + indent(volume()) + indent(kadaluStorage)
	for _, input := range []string{stream, list} {
		output, err := adopt(t, input, "-f", "-")
		require.NoError(t, err)
		require.Contains(t, output, "# 1. Set persistentVolumeReclaimPolicy: Retain")
		var printed map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(output), &printed))
		testkit.Golden(t, "testdata/golden/adopted.yaml", printed)
	}
}

func TestAdoptNamesWhatCannotBeAdopted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ input, want string }{
		"no volumes":      {kadaluStorage, "there are no PersistentVolumes with spec.csi.driver kadalu"},
		"a missing store": {volume(), `volumeAttributes.hostvol "ext-storage": matches 0 KadaluStorages`},
		"two stores": {
			volume() + "---\n" + kadaluStorage + "---\n" +
				strings.Replace(kadaluStorage, "namespace: kadalu", "namespace: b", 1),
			"matches 2 KadaluStorages",
		},
		"a block volume": {
			volume("pvtype: subvol", "pvtype: virtblock") + "---\n" + kadaluStorage, `volumeAttributes.pvtype "virtblock"`,
		},
		"a volume in kadalu's pods": {
			volume("type: External", "type: Replica3") + "---\n" + kadaluStorage, `volumeAttributes.type "Replica3"`,
		},
		"a path that leaves the layout": {
			volume("PATH", "subvol/../../etc") + "---\n" + kadaluStorage, "is not the directory of a volume",
		},
		"a storage without directories": {
			volume() + "---\n" + kadaluStorage + "  kadalu-format: false\n", "has kadalu-format: false; set it to true",
		},
		"the same data twice": {
			volume() + "---\n" + volume("name: pvc-1", "name: pvc-2") + "---\n" + kadaluStorage,
			"PersistentVolume pvc-2: it has the same data as PersistentVolume pvc-1",
		},
		"another kind": {"kind: Pod", `document 1: kind "Pod" is not PersistentVolume or KadaluStorage`},
		"not YAML":     {"{", "--filename=-: document 1:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := adopt(t, c.input, "-f", "-")
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := adopt(t, "")
	require.ErrorContains(t, err, `required flag(s) "filename" not set`)
}

func TestControllerFlagsAreValidated(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"--project-ids=5-4":         "--project-ids=5-4: must be <first>-<last>",
		"--resync-interval=1s":      "--resync-interval=1s: must be from 1m to 24h",
		"--storage-timeout=1ms":     "--storage-timeout=1ms: must be from 1s to 10m",
		"--mount-directory=a/../b":  "--mount-directory=a/../b: must be an absolute path",
		"--endpoint=tcp://1.1.1.1":  "--endpoint:",
		"--probe-interval=10000h":   "--probe-interval=10000h0m0s: must be from 1s to 1h",
		"--workers=0":               "--workers=0: must be from 1 to 64",
		"--log-directory=relative/": "--log-directory=relative/: must be an absolute path",
	} {
		command := app.Command()
		command.SetOut(&bytes.Buffer{})
		command.SetErr(&bytes.Buffer{})
		command.SetArgs([]string{"controller", flag})
		require.ErrorContains(t, command.ExecuteContext(t.Context()), want)
	}
}
