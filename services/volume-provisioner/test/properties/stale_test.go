package properties

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// A status records where volumes are and were. A controller that has read an older status must not bring it back.
func TestAStatusThatAnotherProcessHasWrittenIsNotOverwritten(t *testing.T) {
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	e := perturb.Env{ControlPlane: cp, Namespace: namespace}
	require.NoError(t, addNode(t.Context(), e))
	t.Cleanup(func() { require.NoError(t, removeAll(context.Background(), e)) })
	here := testenv.At(t, cp, namespace)
	var armed atomic.Bool
	var overtake func() error
	failed := make(chan error, 1)
	config, _ := transport.Wrap(account, transport.IgnoreResources("events", "localvolumenodes"),
		transport.BeforeWrite(func(int) {
			if armed.CompareAndSwap(true, false) {
				failed <- overtake()
			}
		}))
	testenv.Start(t, func(ctx context.Context) error { return testenv.Run(ctx, config) })
	agent := &testenv.Agent{Node: namespace + "-node", Machine: "machine", Root: filepath.Join(t.TempDir(), "root")}
	agent.Start(here)
	here.Apply(set(namespace, 1, "1Gi"))
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error { return has("2/2", 0)(ctx, e) })

	sets := here.Weir.StorageV1alpha1().KafkaLocalVolumeSets(namespace)
	previous := []storagev1alpha1.PreviousLocation{{Node: "lost", Path: "/mnt/data/before", Replaced: metav1.Unix(1, 0)}}
	overtake = func() error {
		newer, err := sets.Get(t.Context(), "s", metav1.GetOptions{})
		if err != nil {
			return err
		}
		newer.Status.Volumes[0].Previous = previous
		_, err = sets.UpdateStatus(t.Context(), newer, metav1.UpdateOptions{})
		return err
	}
	armed.Store(true)
	here.Patch("s", `{"spec": {"reusePolicy": "Manual"}}`)
	require.NoError(t, <-failed)
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		if err := has("2/2", 0)(ctx, e); err != nil {
			return err
		}
		if got := here.Set("s").Status.Volumes[0].Previous; len(got) != 1 || got[0].Path != previous[0].Path {
			return fmt.Errorf("the newer status was overwritten: %v", got)
		}
		return nil
	})
}
