// Command fake-runner simulates connect-runner in pods on simulated nodes. It is for demonstrations and benchmarks
// only.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/fakerunner"
)

func main() { os.Exit(app.Main(fakerunner.Command())) }
