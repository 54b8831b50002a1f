//go:build linux

package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// adoptCommand returns the command that prints replacements of kadalu's PersistentVolumes.
func adoptCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "adopt -f FILE",
		Short: "Print PersistentVolumes that replace those of kadalu",
		Long: `adopt reads PersistentVolumes of kadalu and their KadaluStorages, and prints PersistentVolumes of
gluster-bridge with the same names, claims and data. It changes nothing and needs no cluster. Lines that start with #
say how to replace the existing ones:

  kubectl get pv,kadalustorages -A -o yaml | gluster-bridge adopt -f -`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			input := command.InOrStdin()
			if file != "-" {
				opened, err := os.Open(file)
				if err != nil {
					return fmt.Errorf("--filename=%s: %w", file, err)
				}
				defer func() { _ = opened.Close() }()
				input = opened
			}
			pvs, storages, err := readObjects(input)
			if err != nil {
				return fmt.Errorf("--filename=%s: %w", file, err)
			}
			return printAdopted(command.OutOrStdout(), pvs, storages)
		},
	}
	command.Flags().StringVarP(&file, "filename", "f", "",
		"file with PersistentVolumes and KadaluStorages in YAML or JSON; - for standard input")
	// MarkFlagRequired fails only for a flag that does not exist.
	_ = command.MarkFlagRequired("filename")
	return command
}

// readObjects reads a stream of PersistentVolumes, KadaluStorages and Lists of them.
func readObjects(input io.Reader) ([]corev1.PersistentVolume, []kadaluv1alpha1.KadaluStorage, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(input, 4096)
	var pvs []corev1.PersistentVolume
	var storages []kadaluv1alpha1.KadaluStorage
	add := func(raw json.RawMessage) error {
		var kind struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil {
			return err
		}
		switch kind.Kind {
		case "PersistentVolume":
			var pv corev1.PersistentVolume
			err := json.Unmarshal(raw, &pv)
			pvs = append(pvs, pv)
			return err
		case "KadaluStorage":
			var s kadaluv1alpha1.KadaluStorage
			err := json.Unmarshal(raw, &s)
			storages = append(storages, s)
			return err
		}
		return fmt.Errorf("kind %q is not PersistentVolume or KadaluStorage; remove it", kind.Kind)
	}
	for i := 1; ; i++ {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return pvs, storages, nil
		}
		var list struct {
			Kind  string            `json:"kind"`
			Items []json.RawMessage `json:"items"`
		}
		if err == nil {
			err = json.Unmarshal(raw, &list)
		}
		switch {
		case err != nil:
		case list.Items != nil:
			for _, item := range list.Items {
				err = errors.Join(err, add(item))
			}
		case list.Kind != "":
			err = add(raw)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("document %d: %w", i, err)
		}
	}
}

const adoptNotes = `# Replace the PersistentVolumes while no pod uses them:
# 1. Set persistentVolumeReclaimPolicy: Retain on each existing PersistentVolume, and stop kadalu's operator.
# 2. Delete the existing PersistentVolumes, and remove their finalizers. Their claims become Lost; the data stays.
# 3. Apply this file. The claims become Bound again.
# The storage class of a bound claim cannot change, so it stays; new claims use kadalu.external.<storage>.
`

func printAdopted(output io.Writer, pvs []corev1.PersistentVolume, storages []kadaluv1alpha1.KadaluStorage) error {
	adopted, err := decide.Adopt(pvs, storages)
	if err != nil {
		return err
	}
	text := bytes.NewBufferString(adoptNotes)
	for i := range adopted {
		data, err := sigsyaml.Marshal(&adopted[i])
		if err != nil {
			return fmt.Errorf("encode PersistentVolume %s: %w", adopted[i].Name, err)
		}
		if i > 0 {
			text.WriteString("---\n")
		}
		text.Write(bytes.Replace(data, []byte("status: {}\n"), nil, 1))
	}
	_, err = output.Write(text.Bytes())
	return err
}
