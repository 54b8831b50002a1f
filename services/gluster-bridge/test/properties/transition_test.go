//go:build linux

package properties

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transition"
	glusterbridge "github.com/weir-dev/weir/services/gluster-bridge/internal/app"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

const changed = "transition"

// transitions changes each field of a storage. One controller serves all of them, one after the other, because their
// StorageClasses have the same name.
func transitions(t *testing.T, e *testenv.Env) {
	at := e.At(t)
	at.Cluster.Volume("other", "replica", "3")
	at.Cluster.Volume("distributed")
	at.Start(e.Account, func(c *glusterbridge.ControllerConfig) { c.StorageTimeout = 3 * time.Second })
	plan := transition.Plan{
		Subject: transition.Subject{
			Service: func(ctx context.Context, _ *rest.Config, _ string) error {
				<-ctx.Done()
				return nil
			},
			Compare: append(snapshot.Namespaced(storages), ownClasses),
			Cleanup: func(ctx context.Context, env transition.Env) error {
				client := e.Weir.KadaluV1alpha1().KadaluStorages(env.Namespace)
				err := client.Delete(ctx, changed, metav1.DeleteOptions{})
				if apierrors.IsNotFound(err) {
					return nil
				}
				return errors.Join(err, testkit.Poll(ctx, "the deletion of the storage", func(ctx context.Context) error {
					_, err := client.Get(ctx, changed, metav1.GetOptions{})
					if apierrors.IsNotFound(err) {
						return nil
					}
					return errors.Join(errors.New("the storage exists"), err)
				}))
			},
		},
		Base:     fmt.Sprintf(storageManifest, changed, "Unmanaged"),
		Done:     func(o *unstructured.Unstructured) error { return isReady(o, "True") },
		Reported: func(o *unstructured.Unstructured) error { return isReady(o, "False") },
		Parallel: 1,
	}
	details := func(fields string) string {
		return `{spec: {details: [{gluster_node: ` + firstHost + `, gluster_volname: ` + testenv.Volume +
			`, gluster_port: 24007, gluster_options: log-level=WARNING, ` + fields + `}]}}`
	}
	other := func(fields string) string { return `{spec: {details: [{gluster_port: 24007, ` + fields + `}]}}` }
	transition.Run(t, e.ControlPlane, plan, []transition.Change{
		{Name: "managed quota", Patch: `{spec: {quota: Managed}}`, Valid: true},
		{Name: "external quota", Patch: `{spec: {quota: External}}`, Valid: true},
		{Name: "default quota", Patch: `{spec: {quota: null}}`, Valid: true},
		{Name: "archive", Patch: `{spec: {pvReclaimPolicy: archive}}`, Valid: true},
		{Name: "a whole volume", Patch: `{spec: {kadalu-format: false}}`, Valid: true},
		{Name: "the later spelling", Patch: `{spec: {kadalu_format: non-native}}`, Valid: true},
		{Name: "more hosts", Patch: details(`gluster_hosts: [127.1.1.2, 127.1.1.3]`), Valid: true},
		{
			Name: "another volume", Valid: true,
			Patch: other(`gluster_node: ` + firstHost + `, gluster_volname: other`),
		},
		{Name: "an unknown volume", Patch: other(`gluster_node: ` + firstHost + `, gluster_volname: unknown`)},
		{Name: "a distributed volume", Patch: other(`gluster_node: ` + firstHost + `, gluster_volname: distributed`)},
		{Name: "a host that does not answer", Patch: other(`gluster_node: 127.1.1.9, gluster_volname: ` + testenv.Volume)},
		{
			Name:  "an option that is not allowed",
			Patch: other(`gluster_node: ` + firstHost + `, gluster_volname: r3, gluster_options: "log-level=INFO,foo"`),
		},
		{Name: "contradicting formats", Patch: `{spec: {kadalu-format: true, kadalu_format: non-native}}`},
		{Name: "two volumes", Patch: `{spec: {details: [{gluster_volname: a}, {gluster_volname: b}]}}`},
		{Name: "another type", Patch: `{spec: {type: Replica3}}`},
	})
}

// isReady returns an error unless the condition Ready of the current generation has a status, after the volume was
// mounted or has failed to.
func isReady(o *unstructured.Unstructured, status string) error {
	generation, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	if generation != o.GetGeneration() {
		return fmt.Errorf("the status is of generation %d", generation)
	}
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Ready" {
			if c["status"] != status || c["reason"] == "NotProbed" {
				return fmt.Errorf("the condition Ready is %v", c)
			}
			return nil
		}
	}
	return errors.New("the condition Ready is missing")
}
