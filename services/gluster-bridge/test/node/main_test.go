//go:build linux

// Package node tests the node process and its GlusterFS clients, with processes in mount namespaces of their own as
// containers.
package node

import (
	"testing"

	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

func TestMain(m *testing.M) {
	runContainer()
	testenv.Main(m)
}
