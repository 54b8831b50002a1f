// Command connect-scheduler runs every Kafka Connect connector and task in a pod of its own.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/config"
)

func main() { os.Exit(app.Main(config.Command())) }
