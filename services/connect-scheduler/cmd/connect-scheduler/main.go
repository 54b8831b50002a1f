// Command connect-scheduler runs each Kafka Connect connector and task in its own pod.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	connectscheduler "github.com/weir-dev/weir/services/connect-scheduler/internal/app"
)

func main() { os.Exit(app.Main(connectscheduler.Command())) }
