// Command gluster-bridge provisions and mounts persistent volumes on external GlusterFS clusters.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	glusterbridge "github.com/weir-dev/weir/services/gluster-bridge/internal/app"
)

func main() { os.Exit(app.Main(glusterbridge.Command())) }
