// connect-runner runs one Kafka Connect connector, or one of its tasks in a pod.
package main

import (
	"os"

	"github.com/weir-dev/weir/services/connect-runner/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:])) }
