//go:build linux

// Package storage tests gluster-bridge and quotad together: both programs as they are installed, with GlusterFS on a
// kernel that enforces XFS project quota. The control plane runs on the machine.
package storage

import (
	"context"
	"os"
	"testing"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

func TestMain(m *testing.M) {
	if demoChapter == env.DemoGluster {
		// This chapter needs no quota, and starts a control plane.
		gluster.Main(m)
	}
	if !quotakernel.Inside() && !testkit.IsLong() && demoChapter == "" {
		// The tests are skipped: do not start the kernel.
		os.Exit(m.Run())
	}
	options := []testkit.Option{testkit.WithPreparation(install)}
	if demoChapter != "" {
		// The demo has built the programs, and needs no controllers of Kubernetes.
		gluster.MainWithQuotaAndControlPlane(m, nil, append(options, testkit.WithoutControllers())...)
	}
	gluster.MainWithQuotaAndControlPlane(m, build, options...)
}

func build() error {
	root, err := env.Root()
	if err != nil {
		return err
	}
	for _, service := range []string{"gluster-bridge", "quotad"} {
		if err := env.Build(context.Background(), root, service); err != nil {
			return err
		}
	}
	return nil
}
