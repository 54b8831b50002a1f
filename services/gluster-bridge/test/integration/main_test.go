//go:build linux

// Package integration tests gluster-bridge on a real control plane, under the RBAC rules of its kustomize base.
package integration

import (
	"testing"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
