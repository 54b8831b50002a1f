// Package integration tests the packages of pkg against a real API server.
package integration

import (
	"testing"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
