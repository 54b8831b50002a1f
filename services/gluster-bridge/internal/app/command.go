//go:build linux

// Package app is the composition root of gluster-bridge: its commands, their flags and the wiring.
package app

import (
	"github.com/spf13/cobra"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Command returns the root command of gluster-bridge.
func Command() *cobra.Command {
	controller, node, clients := ControllerDefaults(), NodeDefaults(), ClientsDefaults()
	return app.Root(decide.Manager, "Persistent volumes on external GlusterFS clusters",
		`gluster-bridge is a CSI driver. Each KadaluStorage describes a GlusterFS volume that Kubernetes does not manage.
The controller creates its StorageClass and a directory for each claim. The node process mounts the directories, and the
process clients runs the GlusterFS clients that it uses.`,
		app.Command(ControllerSpec(&controller)),
		app.Command(NodeSpec(&node)),
		app.Command(ClientsSpec(&clients)),
		adoptCommand(),
	)
}
