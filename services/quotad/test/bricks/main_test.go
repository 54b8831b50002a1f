//go:build linux

package bricks

import (
	"os"
	"strings"
	"testing"

	pkgapp "github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
	"github.com/weir-dev/weir/services/quotad/internal/app"
)

// childVariable makes the test binary run quotad, so that it can be killed.
const childVariable = "WEIR_QUOTAD"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childVariable); arguments != "" {
		command := app.Command()
		command.SetArgs(strings.Fields(arguments))
		os.Exit(pkgapp.Main(command))
	}
	if brick := os.Getenv(crawlVariable); brick != "" {
		crawl(brick)
	}
	quotakernel.Main(m)
}
