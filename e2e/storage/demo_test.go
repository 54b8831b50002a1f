//go:build linux

package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// demoChapter is the chapter of make demo that this process runs.
var demoChapter = os.Getenv(env.DemoChapter)

// TestDemo runs a chapter of make demo, which shows its messages.
func TestDemo(t *testing.T) {
	switch demoChapter {
	case env.DemoGluster:
		demoGluster(t)
	case env.DemoQuota:
		demoQuota(t)
	default:
		t.Skip("this is a part of the demo; run make demo CHAPTER=gluster")
	}
}

// step prints the title of a step, and returns a function that prints its checked result.
func step(title string) func(format string, args ...any) {
	tell(env.DemoStep, "%s", title)
	begun := time.Now()
	return func(format string, args ...any) {
		tell(env.DemoDone, "%s (%.1f s).", fmt.Sprintf(format, args...), time.Since(begun).Seconds())
	}
}

func note(format string, args ...any) { tell(env.DemoNote, format, args...) }

// tell prints a line at once, also if the standard output is a file on the kernel with quota.
func tell(prefix, format string, args ...any) {
	fmt.Printf(prefix+format+"\n", args...)
	_ = os.Stdout.Sync()
}

// demoGluster uses a volume that no Kubernetes manages.
func demoGluster(t *testing.T) {
	done := step("Start three GlusterFS servers and the controller of gluster-bridge.")
	gluster.Need(t)
	s := newSuiteOn(t, func(ctx context.Context) (*testkit.ControlPlane, error) {
		cp, err := testkit.Start(ctx, testkit.Options{WithoutControllers: true})
		if err == nil {
			t.Cleanup(func() { require.NoError(t, errors.Join(cp.Err(), cp.Stop())) })
		}
		return cp, err
	}, gluster.New)
	done("glusterd runs on %s; gluster-bridge runs with the permissions of its manifests",
		strings.Join(gluster.Hosts(), ", "))

	done = step("Create a replicated GlusterFS volume, and the KadaluStorage External for it.")
	v := s.addStorage(t, "data", kadaluv1alpha1.QuotaUnmanaged, 1, "replica", "3")
	class, err := s.cp.Client().StorageV1().StorageClasses().Get(t.Context(), "kadalu.external.data", metav1.GetOptions{})
	require.NoError(t, err)
	done("The storage is Ready and has the StorageClass %s of %s", class.Name, class.Provisioner)

	done = step("Provision a volume, as external-provisioner does for a claim.")
	note("CreateVolume of the CSI driver: %s, 16 MiB, ReadWriteMany", v.id("pvc-demo"))
	repeated(t, func(ctx context.Context) error { return v.create(ctx, "pvc-demo", 16*mebibyte) })
	path := v.find(t, v.mount, "pvc-demo")
	done("It is the directory %s of the GlusterFS volume", strings.TrimPrefix(path, v.mount+"/"))

	done = step("Write a file through one GlusterFS client, and read it through another one.")
	other := s.cluster.MountFor(t, v.name)
	require.NoError(t, os.WriteFile(filepath.Join(path, "first"), []byte("records"), 0o600))
	second := v.find(t, other, "pvc-demo")
	content, err := os.ReadFile(filepath.Join(second, "first"))
	require.NoError(t, err)
	require.Equal(t, "records", string(content))
	done("The second client reads %q", content)

	done = step("Kill the brick of a server, and write again. Then start it.")
	third := gluster.Host(3) + ":" + filepath.Join(v.disks[2], "brick")
	s.cluster.StopBrickNamed(v.name, third)
	testkit.Eventually(t, timeout, func(context.Context) error {
		return os.WriteFile(filepath.Join(path, "meanwhile"), []byte("more records"), 0o600)
	})
	s.cluster.StartBricks(v.name)
	testkit.Eventually(t, timeout, func(context.Context) error {
		found, err := os.ReadFile(filepath.Join(v.find(t, filepath.Join(v.disks[2], "brick"), "pvc-demo"), "meanwhile"))
		if err == nil && string(found) != "more records" {
			err = fmt.Errorf("the brick has %q", found)
		}
		return err
	})
	done("What was written in the meantime is on the brick of %s again", gluster.Host(3))

	done = step("Delete the volume.")
	v.deleteVolume(t, "pvc-demo")
	for _, disk := range v.disks {
		testkit.Eventually(t, timeout, func(context.Context) error {
			if left := glob(t, filepath.Join(disk, "brick"), "pvc-demo"); len(left) > 0 {
				return fmt.Errorf("%v exists", left)
			}
			return nil
		})
	}
	done("No server has its directory")
}

// glob returns the directories of a volume below a mount or brick.
func glob(t *testing.T, root, name string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "subvol", "*", "*", name))
	require.NoError(t, err)
	return found
}

// find returns the directory of a volume below a mount or brick.
func (s storage) find(t *testing.T, root, name string) string {
	t.Helper()
	found := glob(t, root, name)
	require.Len(t, found, 1)
	return found[0]
}

// demoQuota stops writers at the sizes of their volumes.
func demoQuota(t *testing.T) {
	done := step("Start a Linux kernel with XFS project quota, and three GlusterFS servers on it.")
	s := newSuite(t)
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	done("Linux %s in user mode; gluster-bridge runs with the permissions of its manifests",
		strings.TrimSpace(string(kernel)))

	done = step("Create a replicated volume with quota: Managed, and start quotad on each server.")
	v := s.addStorage(t, "managed", kadaluv1alpha1.QuotaManaged, 1, "replica", "3")
	s.clusterMode(t, 1, 2, 3)
	done("Three quotads watch the bricks")

	done = step("Provision 16 MiB. The volume is ready when all bricks enforce the size.")
	repeated(t, func(ctx context.Context) error { return v.create(ctx, "pvc-demo", 16*mebibyte) })
	v.acknowledged(t, "pvc-demo", 16*mebibyte)
	for server, limit := range v.limits(t, "pvc-demo") {
		note("%s: project %d has a limit of %d MiB", gluster.Host(server+1),
			v.object(t, "pvc-demo").Spec.ProjectID, limit/mebibyte)
	}
	done("3 of 3 bricks enforce it")

	done = step("Write until the file system refuses.")
	written := v.fill(t, "pvc-demo", "first")
	require.Equal(t, 16*mebibyte, written)
	done("The writer was stopped after %d MiB", written/mebibyte)

	done = step("Expand the volume to 24 MiB, and write again.")
	repeated(t, func(ctx context.Context) error { return v.expand(ctx, "pvc-demo", 24*mebibyte) })
	written = v.fill(t, "pvc-demo", "second")
	require.Equal(t, 8*mebibyte, written)
	done("The writer was stopped after %d MiB more", written/mebibyte)

	done = step("Delete the volume.")
	v.delete(t, "pvc-demo")
	for _, disk := range v.disks {
		require.Empty(t, quotakernel.Limits(t, disk))
	}
	done("No brick has a limit of it")
	if quotakernel.Inside() {
		// All that runs and is mounted ends with this kernel: the demo does not wait until it is stopped one by one.
		os.Exit(0)
	}
}
