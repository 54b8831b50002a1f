//go:build linux

package bricks

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
	"github.com/weir-dev/weir/services/quotad/internal/app"
)

// childVariable makes the test binary run quotad, so that it can be killed.
const childVariable = "WEIR_QUOTAD"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childVariable); arguments != "" {
		command := app.Command()
		command.SetArgs(strings.Fields(arguments))
		if command.ExecuteContext(context.Background()) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if brick := os.Getenv(crawlVariable); brick != "" {
		crawl(brick)
	}
	quotakernel.Main(m)
}
