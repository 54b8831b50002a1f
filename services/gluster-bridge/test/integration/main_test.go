//go:build linux

// Package integration tests gluster-bridge on a real control plane, under the RBAC rules of its kustomize base.
package integration

import (
	"testing"

	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
