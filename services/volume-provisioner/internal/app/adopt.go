package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/adopt"
)

// adoptCommand returns the command that prints the sets of existing PersistentVolumes.
func adoptCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "adopt -f FILE",
		Short: "Print the KafkaLocalVolumeSets that yield existing PersistentVolumes",
		Long: `adopt reads PersistentVolumes and prints the KafkaLocalVolumeSets that yield them. It changes nothing and needs
no cluster. Lines that start with # say what has to be done before the sets are applied:

  kubectl get pv -o yaml | volume-provisioner adopt -f -`,
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
			pvs, err := ReadPersistentVolumes(input)
			if err != nil {
				return fmt.Errorf("--filename=%s: %w", file, err)
			}
			return printSets(command.OutOrStdout(), pvs)
		},
	}
	command.Flags().StringVarP(&file, "filename", "f", "",
		"file with PersistentVolumes in YAML or JSON; - for standard input")
	// MarkFlagRequired fails only for a flag that does not exist.
	_ = command.MarkFlagRequired("filename")
	return command
}

// ReadPersistentVolumes reads a stream of PersistentVolumes and Lists of them.
func ReadPersistentVolumes(input io.Reader) ([]corev1.PersistentVolume, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(input, 4096)
	var all []corev1.PersistentVolume
	for i := 1; ; i++ {
		var raw struct {
			corev1.PersistentVolume `json:",inline"`
			Items                   []corev1.PersistentVolume `json:"items"`
		}
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		switch raw.Kind {
		case "PersistentVolume":
			all = append(all, raw.PersistentVolume)
		case "List", "PersistentVolumeList":
			all = append(all, raw.Items...)
		case "":
			// An empty document.
		default:
			return nil, fmt.Errorf("document %d: kind %s is not PersistentVolume; remove it", i, raw.Kind)
		}
	}
}

func printSets(output io.Writer, pvs []corev1.PersistentVolume) error {
	sets, notes, err := adopt.Sets(pvs)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, note := range notes {
		fmt.Fprintf(&text, "# %s.\n", note)
	}
	fmt.Fprintf(&text, "# spec.nodes has the values of the label %s. Replace them where a node has another name.\n",
		sets[0].Spec.NodeAffinityKey)
	for i := range sets {
		data, err := sigsyaml.Marshal(&sets[i])
		if err != nil {
			return fmt.Errorf("encode KafkaLocalVolumeSet %s: %w", sets[i].Name, err)
		}
		if i > 0 {
			text.WriteString("---\n")
		}
		text.Write(data)
	}
	_, err = output.Write(text.Bytes())
	return err
}
