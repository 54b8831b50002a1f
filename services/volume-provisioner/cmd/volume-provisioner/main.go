// Command volume-provisioner gives each replica of Kafka a directory on a node, and the same directory again.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	volumeprovisioner "github.com/weir-dev/weir/services/volume-provisioner/internal/app"
)

func main() { os.Exit(app.Main(volumeprovisioner.Command())) }
