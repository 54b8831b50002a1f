//go:build linux

package properties

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transition"
)

// TestChangesOfAGlusterVolumeEndInTheStateOfANewOne makes one change at a time: GlusterVolumes have no namespace.
func TestChangesOfAGlusterVolumeEndInTheStateOfANewOne(t *testing.T) {
	const volume, project = "changed", 2000
	cp := controlPlane(t)
	c := newCluster(t, 1)
	volumes, err := clientOf(cp.RESTConfig())
	require.NoError(t, err)
	typed := func(o *unstructured.Unstructured) (*storagev1alpha1.GlusterVolume, error) {
		gv := &storagev1alpha1.GlusterVolume{}
		return gv, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, gv)
	}
	transition.Run(t, cp, transition.Plan{
		Subject: transition.Subject{
			Prepare: func(context.Context, perturb.Env) error {
				return errors.Join(c.addVolume(volume), c.makeDirectory(volume, "pv"), c.makeDirectory(volume, "other"))
			},
			Cleanup: func(ctx context.Context, _ perturb.Env) error {
				err := volumes.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
				return errors.Join(err, c.removeVolume(volume, project))
			},
			Service: func(ctx context.Context, config *rest.Config, _ string) error {
				return c.run(ctx, config, 0, volume)
			},
			Identity: func(_ context.Context, env perturb.Env) (*rest.Config, error) {
				return identity(env.ControlPlane, 0)
			},
			Compare: []snapshot.Listing{{Resource: glusterVolumes, ClusterScoped: true}},
		},
		Base: glusterVolume("changed", volume, "pv", 8*mebibyte, project), Parallel: 1,
		Done: func(o *unstructured.Unstructured) error {
			gv, err := typed(o)
			if err != nil {
				return err
			}
			if err := enforced(gv, 1); err != nil {
				return err
			}
			return c.limits(map[uint32]uint64{project: uint64(gv.Spec.CapacityBytes)}) //nolint:gosec // positive
		},
		Reported: func(*unstructured.Unstructured) error { return errors.New("the API accepts the change") },
	}, []transition.Change{
		{Name: "larger", Patch: `{spec: {capacityBytes: 12582912}}`, Valid: true},
		{Name: "smaller", Patch: `{spec: {capacityBytes: 4194304}}`, Valid: true},
		{Name: "a part of a block", Patch: `{spec: {capacityBytes: 12288}}`, Valid: true},
		{Name: "the id of the volume", Valid: true, Patch: fmt.Sprintf(`{spec: {volumeID: %s}}`, volumeID(volume))},
		{Name: "no size", Patch: `{spec: {capacityBytes: 0}}`},
		{Name: "another project", Patch: `{spec: {projectID: 3000}}`},
		{Name: "another path", Patch: `{spec: {path: subvol/ab/cd/other}}`},
		{Name: "another volume", Patch: `{spec: {volume: other}}`},
	})
}
