//go:build linux

package csi

import (
	"testing"

	"github.com/weir-dev/weir/pkg/testkit/gluster"
)

func TestMain(m *testing.M) { gluster.Main(m) }
