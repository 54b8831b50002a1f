// Package integration_test runs drain-cleaner on an embedded control plane, as the API server and kubectl see it.
package integration_test

import (
	"os"
	"testing"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"

	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
)

// runAsProgram in the environment makes the test binary run as drain-cleaner.
const runAsProgram = "DRAIN_CLEANER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		os.Exit(app.Main(draincleaner.Command()))
	}
	testkit.Main(m)
}
