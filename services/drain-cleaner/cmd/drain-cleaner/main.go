// Command drain-cleaner keeps node drains from taking Kafka partitions below their min.insync.replicas.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
)

func main() { os.Exit(app.Main(draincleaner.Command())) }
