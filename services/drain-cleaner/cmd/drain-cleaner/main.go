// Command drain-cleaner keeps node drains from taking Kafka's partitions below their minimum of in-sync replicas.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/service"
)

func main() { os.Exit(app.Main(service.Command())) }
