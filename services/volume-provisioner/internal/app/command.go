// Package app is the composition root of volume-provisioner: its commands, their flags and the wiring.
package app

import (
	"github.com/spf13/cobra"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Command returns the root command of volume-provisioner.
func Command() *cobra.Command {
	controller, agent := Defaults(), AgentDefaults()
	return app.Root(spec.Manager, "Local persistent volumes for the replicas of Kafka",
		`volume-provisioner creates a directory and a PersistentVolume for each replica that a KafkaLocalVolumeSet
describes. A claim that is deleted and created again binds to the same directory. The controller places replicas
and writes PersistentVolumes. An agent on each node creates the directories.`,
		app.Command(Spec(&controller)),
		app.Command(AgentSpec(&agent)),
		adoptCommand(),
	)
}
