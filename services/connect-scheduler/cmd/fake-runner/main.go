// Command fake-runner plays connect-runner's part on simulated nodes, for demonstrations and benchmarks only.
package main

import (
	"os"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/fakerunner"
)

func main() { os.Exit(app.Main(fakerunner.Command())) }
