//go:build linux

// Package properties tests the properties that every controller of Weir has, for quotad in cluster mode: with real
// limits on XFS, on a kernel that enforces them. The control plane runs on the machine.
package properties

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	storageclient "github.com/weir-dev/weir/generated/clientset/versioned/typed/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
	quotad "github.com/weir-dev/weir/services/quotad/internal/app"
)

const (
	mebibyte = 1 << 20
	timeout  = time.Minute
)

func TestMain(m *testing.M) {
	quotakernel.MainWithControlPlane(m, func(m *testing.M) {
		disk.Enter()
		testkit.Main(m)
	}, nil)
}

// nodes are the UUIDs of the Gluster nodes.
var nodes = []string{"6b1e1b4c-0000-4000-8000-00000000000a", "6b1e1b4c-0000-4000-8000-00000000000b"}

var (
	install    sync.Once
	installErr error
)

// controlPlane returns the control plane of all tests, with quotad installed.
func controlPlane(t *testing.T) *testkit.ControlPlane {
	t.Helper()
	testkit.NeedsControlPlane(t)
	quotakernel.Need(t)
	cp := testkit.Shared(t)
	install.Do(func() { installErr = apply(context.Background(), cp) })
	require.NoError(t, installErr)
	return cp
}

func apply(ctx context.Context, cp *testkit.ControlPlane) error {
	for _, name := range []string{"base", "quotad"} {
		manifests, err := cp.Kubectl(ctx, "kustomize", filepath.Join("..", "..", "..", "..", "deploy", name))
		if err != nil {
			return err
		}
		if _, err := cp.ApplyYAML(ctx, "", manifests); err != nil {
			return err
		}
	}
	_, err := cp.Client().RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "external-quotads"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "weir-quotad"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "weir:quotad"}},
	}, metav1.CreateOptions{})
	return err
}

// identity returns the user of the quotad of a node outside of the cluster.
func identity(cp *testkit.ControlPlane, node int) (*rest.Config, error) {
	return cp.User("weir:quotad:"+nodes[node], "weir:quotad")
}

// cluster are Gluster nodes with one file system each.
type cluster struct {
	dir   string
	disks []string
	// interval is the time between two checks.
	interval time.Duration
}

func newCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), interval: time.Second}
	for range nodes {
		_, point := quotakernel.New(t)
		c.disks = append(c.disks, point)
	}
	return c
}

func (c *cluster) brick(node int, volume string) string { return filepath.Join(c.disks[node], volume) }

func (c *cluster) path(node int, volume, name string) string {
	return filepath.Join(c.dir, volume, fmt.Sprint(node), name)
}

// volumeID returns the UUID of a volume.
func volumeID(volume string) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", xxhash.Sum64String(volume)&(1<<48-1))
}

// addVolume creates the bricks of a replicated volume and the files of glusterd about it, on each node separately: a
// node of this volume has no other one.
func (c *cluster) addVolume(volume string) error {
	id := volumeID(volume)
	attribute, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		return err
	}
	files := map[string]string{}
	info := fmt.Sprintf("type=2\ncount=%[1]d\nstatus=1\nsub_count=%[1]d\nreplica_count=%[1]d\nvolume-id=%s\n",
		len(c.disks), id)
	for node := range c.disks {
		brick := c.brick(node, volume)
		name := fmt.Sprintf("node-%d:%s", node, strings.ReplaceAll(brick, "/", "-"))
		info += fmt.Sprintf("brick-%d=%s\n", node, name)
		files["vols/"+volume+"/bricks/"+name] = fmt.Sprintf("uuid=%s\nhostname=node-%d\npath=%s\nreal_path=%[3]s\n",
			nodes[node], node, brick)
		if err := os.Mkdir(brick, 0o755); err != nil {
			return err
		}
		if err := unix.Setxattr(brick, "trusted.glusterfs.volume-id", attribute, 0); err != nil {
			return err
		}
	}
	files["vols/"+volume+"/info"] = info
	for node := range c.disks {
		files["glusterd.info"] = "UUID=" + nodes[node] + "\n"
		for name, content := range files {
			name = filepath.Join(c.path(node, volume, "glusterd"), name)
			err := os.MkdirAll(filepath.Dir(name), 0o755)
			if err = errors.Join(err, os.WriteFile(name, []byte(content), 0o600)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeVolume removes the bricks of a volume and all limits of its projects.
func (c *cluster) removeVolume(volume string, projects ...uint32) error {
	for node := range c.disks {
		root, err := openDir(c.disks[node])
		if err != nil {
			return err
		}
		for _, project := range projects {
			err = errors.Join(err, xfsquota.New(root).SetLimit(project, 0))
		}
		if err = errors.Join(err, root.Close(), os.RemoveAll(c.brick(node, volume))); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(c.dir, volume))
}

func openDir(name string) (*node.Dir, error) { return node.OpenDir(name) }

// run runs the quotad of a node that has the bricks of one volume.
func (c *cluster) run(ctx context.Context, config *rest.Config, node int, volume string) error {
	flags, options := quotad.Defaults(), app.DefaultOptions()
	flags.GlusterdDir, flags.StateDir = c.path(node, volume, "glusterd"), c.path(node, volume, "state")
	flags.Interval = c.interval
	options.MetricsAddress = ""
	logs := io.Discard
	if os.Getenv("WEIR_LOG") != "" {
		logs = os.Stderr
	}
	return app.Run(ctx, quotad.ClusterSpec(&flags), options, config, slog.New(slog.NewTextHandler(logs, nil)))
}

// pathOf returns the path of a directory on a volume.
func pathOf(name string) string { return "subvol/ab/cd/" + name }

// makeDirectory creates a directory on all bricks of a volume, and removeDirectory removes it.
func (c *cluster) makeDirectory(volume, name string) error {
	var errs []error
	for node := range c.disks {
		errs = append(errs, os.MkdirAll(filepath.Join(c.brick(node, volume), pathOf(name)), 0o755))
	}
	return errors.Join(errs...)
}

func (c *cluster) removeDirectory(volume, name string) error {
	var errs []error
	for node := range c.disks {
		errs = append(errs, os.RemoveAll(filepath.Join(c.brick(node, volume), pathOf(name))))
	}
	return errors.Join(errs...)
}

// limits returns an error unless the projects have exactly these limits on each node.
func (c *cluster) limits(want map[uint32]uint64) error {
	for node := range c.disks {
		root, err := openDir(c.disks[node])
		if err != nil {
			return err
		}
		for project, limit := range want {
			usage, getErr := xfsquota.New(root).Get(project)
			if err = getErr; err == nil && usage.LimitBytes != limit {
				err = fmt.Errorf("project %d of node %d has the limit %d, want %d", project, node, usage.LimitBytes, limit)
			}
			if err != nil {
				break
			}
		}
		if err = errors.Join(err, root.Close()); err != nil {
			return err
		}
	}
	return nil
}

// glusterVolume returns a GlusterVolume in YAML.
func glusterVolume(object, volume, directory string, bytes int64, project uint32) string {
	return fmt.Sprintf(`
apiVersion: storage.weir.dev/v1alpha1
kind: GlusterVolume
metadata: {name: %s, labels: {test: %s}}
spec: {storage: default/s, volume: %[2]s, path: %s, capacityBytes: %d, projectID: %d}
`, object, volume, pathOf(directory), bytes, project)
}

func clientOf(config *rest.Config) (storageclient.GlusterVolumeInterface, error) {
	weir, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return weir.StorageV1alpha1().GlusterVolumes(), nil
}

// enforced returns an error unless a number of bricks enforces the current size of a GlusterVolume.
func enforced(gv *storagev1alpha1.GlusterVolume, bricks int) error {
	if len(gv.Status.Bricks) != bricks {
		return fmt.Errorf("GlusterVolume %s has %d entries of bricks, want %d", gv.Name, len(gv.Status.Bricks), bricks)
	}
	for _, b := range gv.Status.Bricks {
		if b.State != storagev1alpha1.BrickEnforced || b.ObservedGeneration != gv.Generation ||
			b.LimitBytes != gv.Spec.CapacityBytes {
			return fmt.Errorf("GlusterVolume %s of generation %d with %d bytes has the entry %+v", gv.Name, gv.Generation,
				gv.Spec.CapacityBytes, b)
		}
	}
	return nil
}
