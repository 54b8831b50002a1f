//go:build linux

package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// TestVolumesAreReadyWhenTheirSizeIsEnforced shares one cluster, whose start takes most of the time.
func TestVolumesAreReadyWhenTheirSizeIsEnforced(t *testing.T) {
	if !quotakernel.Inside() {
		testkit.Long(t)
	}
	s := newSuite(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"with quota External when statfs shows the limit", testExternal},
		{"with quota Managed when every online brick has acknowledged", testManaged},
		{"a dispersed volume with quota Managed", testDispersed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

// unanswered makes a call that must not succeed, until it ends with DeadlineExceeded and a text: quotad finds a new
// volume within 10 s.
func unanswered(t *testing.T, call func(context.Context) error, text string) {
	t.Helper()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		err := call(ctx)
		switch {
		case err == nil:
			return testkit.Permanent(errors.New("the call has succeeded"))
		case status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), text):
			return fmt.Errorf("want DeadlineExceeded with %q: %w", text, err)
		}
		return nil
	})
}

// testExternal has quotads without access to the API.
func testExternal(t *testing.T, s *suite) {
	v := s.addStorage(t, "external", kadaluv1alpha1.QuotaExternal, 1, "replica", "3")
	create := func(ctx context.Context) error { return v.create(ctx, "pv", 16*mebibyte) }
	unanswered(t, create, "does not show the size 16777216; check quotad on the nodes of the bricks")
	require.Equal(t, []uint64{0, 0, 0}, v.limits(t, "pv"))

	// The volume shows the size as soon as one brick has it.
	s.standalone(t, 1, 2)
	third := gluster.Host(3) + ":" + filepath.Join(v.disks[2], "brick")
	unanswered(t, create, "does not show the size 16777216; check quotad on the nodes of the bricks "+third)
	require.EqualValues(t, 16*mebibyte, v.shown(t, "pv"))
	require.Equal(t, []uint64{16 * mebibyte, 16 * mebibyte, 0}, v.limits(t, "pv"))
	s.standalone(t, 3)
	repeated(t, create)
	require.Equal(t, v.each(16*mebibyte), v.limits(t, "pv"))
	require.Equal(t, 16*mebibyte, v.fill(t, "pv", "first"))

	s.stopQuotads(t, 3)
	expand := func(ctx context.Context) error { return v.expand(ctx, "pv", 24*mebibyte) }
	unanswered(t, expand, "does not show the size 25165824")
	require.EqualValues(t, 16*mebibyte, v.shown(t, "pv"))
	require.Equal(t, []uint64{24 * mebibyte, 24 * mebibyte, 16 * mebibyte}, v.limits(t, "pv"))
	s.standalone(t, 3)
	repeated(t, expand)
	require.EqualValues(t, 24*mebibyte, v.shown(t, "pv"))
	require.Equal(t, v.each(24*mebibyte), v.limits(t, "pv"))
	require.Equal(t, 8*mebibyte, v.fill(t, "pv", "second"))

	repeated(t, func(ctx context.Context) error { return v.create(ctx, "another", 12*mebibyte) })
	require.Equal(t, v.each(12*mebibyte), v.limits(t, "another"))

	// A brick that is offline is not waited for.
	s.cluster.StopBrickNamed(v.name, third)
	s.stopQuotads(t, 3)
	repeated(t, func(ctx context.Context) error { return v.create(ctx, "offline", 12*mebibyte) })
	require.Equal(t, []uint64{12 * mebibyte, 12 * mebibyte, 0}, v.limits(t, "offline"))
	s.standalone(t, 3)
	s.cluster.StartBricks(v.name)
	v.eventuallyEnforced(t, "offline", 12*mebibyte)
	v.delete(t, "pv", "another", "offline")
	s.stopQuotads(t, 1, 2, 3)
}

// testManaged has quotads that report to the API.
func testManaged(t *testing.T, s *suite) {
	v := s.addStorage(t, "managed", kadaluv1alpha1.QuotaManaged, 1, "replica", "3")
	third := gluster.Host(3) + ":" + filepath.Join(v.disks[2], "brick")
	s.clusterMode(t, 1, 2)
	create := func(ctx context.Context) error { return v.create(ctx, "pv", 16*mebibyte) }
	const missing = "bricks have not acknowledged the size; check quotad on their nodes: "
	unanswered(t, create, missing+third)
	require.Equal(t, []uint64{16 * mebibyte, 16 * mebibyte, 0}, v.limits(t, "pv"))

	s.clusterMode(t, 3)
	repeated(t, create)
	v.acknowledged(t, "pv", 16*mebibyte)
	require.EqualValues(t, 16*mebibyte, v.shown(t, "pv"))
	require.Equal(t, 16*mebibyte, v.fill(t, "pv", "first"))

	require.NoError(t, s.quotads[3].Process.Signal(unix.SIGSTOP))
	expand := func(ctx context.Context) error { return v.expand(ctx, "pv", 24*mebibyte) }
	unanswered(t, expand, missing+third)
	require.Equal(t, []uint64{24 * mebibyte, 24 * mebibyte, 16 * mebibyte}, v.limits(t, "pv"))
	require.NoError(t, s.quotads[3].Process.Signal(unix.SIGCONT))
	repeated(t, expand)
	v.acknowledged(t, "pv", 24*mebibyte)
	require.Equal(t, 8*mebibyte, v.fill(t, "pv", "second"))

	// A brick that is offline is not waited for. It is limited when it is back.
	s.cluster.StopBrickNamed(v.name, third)
	s.stopQuotads(t, 3)
	repeated(t, func(ctx context.Context) error { return v.create(ctx, "offline", 12*mebibyte) })
	require.Equal(t, []uint64{12 * mebibyte, 12 * mebibyte, 0}, v.limits(t, "offline"))
	s.clusterMode(t, 3)
	s.cluster.StartBricks(v.name)
	v.eventuallyEnforced(t, "offline", 12*mebibyte)
	repeated(t, func(ctx context.Context) error { return v.expand(ctx, "offline", 20*mebibyte) })
	v.acknowledged(t, "offline", 20*mebibyte)
	v.delete(t, "pv", "offline")
}

func testDispersed(t *testing.T, s *suite) {
	s.clusterMode(t, 1, 2, 3)
	v := s.addStorage(t, "dispersed", kadaluv1alpha1.QuotaManaged, 2, "disperse", "3", "redundancy", "1")
	repeated(t, func(ctx context.Context) error { return v.create(ctx, "pv", 16*mebibyte) })
	v.acknowledged(t, "pv", 16*mebibyte)
	require.EqualValues(t, 16*mebibyte, v.shown(t, "pv"))
	require.InDelta(t, 16*mebibyte, v.fill(t, "pv", "file"), mebibyte)
	v.delete(t, "pv")
}

// acknowledged checks that every brick has a limit and reports it.
func (s storage) acknowledged(t *testing.T, name string, size uint64) {
	t.Helper()
	require.Equal(t, s.each(size), s.limits(t, name))
	gv := s.object(t, name)
	require.Len(t, gv.Status.Bricks, gluster.Servers)
	for _, b := range gv.Status.Bricks {
		require.Equal(t, storagev1alpha1.BrickEnforced, b.State, b.Message)
		require.Equal(t, gv.Generation, b.ObservedGeneration)
		require.EqualValues(t, size/s.dataBricks, b.LimitBytes)
	}
}

// eventuallyEnforced waits until every brick has a limit.
func (s storage) eventuallyEnforced(t *testing.T, name string, size uint64) {
	t.Helper()
	testkit.Eventually(t, timeout, func(context.Context) error {
		if have, want := s.limits(t, name), s.each(size); fmt.Sprint(have) != fmt.Sprint(want) {
			return fmt.Errorf("the limits are %v, want %v", have, want)
		}
		return nil
	})
}

// delete deletes all volumes and waits until no brick has a limit.
func (s storage) delete(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		s.deleteVolume(t, name)
	}
	s.waitForNoLimits(t)
}

func (s storage) deleteVolume(t *testing.T, name string) {
	t.Helper()
	repeated(t, func(ctx context.Context) error {
		_, err := s.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: s.id(name)})
		return err
	})
}

func (s storage) waitForNoLimits(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, timeout, func(context.Context) error {
		for _, disk := range s.disks {
			if left := quotakernel.Limits(t, disk); len(left) > 0 {
				return fmt.Errorf("%s has the limits %v", disk, left)
			}
		}
		return nil
	})
}
