//go:build linux

package node_test

import (
	"testing"

	"github.com/weir-dev/weir/pkg/testkit/disk"
)

func TestMain(m *testing.M) { disk.Main(m) }
