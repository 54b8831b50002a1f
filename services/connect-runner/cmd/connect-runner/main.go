// connect-runner runs one Kafka Connect connector, or one of its tasks, in a pod.
package main

import (
	"os"

	"github.com/weir-dev/weir/services/connect-runner/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
