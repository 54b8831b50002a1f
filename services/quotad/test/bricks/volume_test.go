//go:build linux

package bricks

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
)

// volume is a GlusterFS volume whose first bricks are on this node.
type volume struct {
	e        *Env
	name, id string
	bricks   []string
}

// replica3 are the settings of a replicated volume, disperse those of a dispersed volume.
const (
	replica3 = "type=2\nsub_count=3\nreplica_count=3\narbiter_count=0\n"
	disperse = "type=4\nsub_count=3\ndisperse_count=3\nredundancy_count=1\n"
)

// volume adds a volume with 3 bricks. The given directories are on this node.
func (e *Env) volume(name, settings string, bricks ...string) *volume {
	e.Helper()
	v := &volume{e: e, name: name, bricks: bricks}
	v.id = fmt.Sprintf("00000000-0000-4000-8000-%012x", xxhash.Sum64String(name)&(1<<48-1))
	info := settings + "count=3\nstatus=1\nvolume-id=" + v.id + "\npassword=secret\nuser.weir.dev/managed=on\n"
	for i := range 3 {
		path, node := "/elsewhere/"+name, "11111111-1111-4111-8111-111111111111"
		if i < len(bricks) {
			path, node = bricks[i], nodeID
			e.brick(v, bricks[i])
		}
		file := fmt.Sprintf("node%d:%s", i, strings.ReplaceAll(path, "/", "-"))
		info += fmt.Sprintf("brick-%d=%s\n", i, file)
		e.write(filepath.Join(e.glusterd, "vols", name, "bricks", file), fmt.Sprintf(
			"uuid=%s\nhostname=node%d\npath=%s\nreal_path=%s\nbrick-id=%s-client-%d\n", node, i, path, path, name, i))
	}
	e.write(filepath.Join(e.glusterd, "vols", name, "info"), info)
	return v
}

// brick makes a directory a brick.
func (e *Env) brick(v *volume, path string) {
	e.Helper()
	require.NoError(e, os.MkdirAll(path, 0o755))
	id, err := hex.DecodeString(strings.ReplaceAll(v.id, "-", ""))
	require.NoError(e, err)
	require.NoError(e, unix.Setxattr(path, "trusted.glusterfs.volume-id", id, 0))
}

// pathOf returns the path of a directory of a persistent volume.
func pathOf(pv string) string {
	h := fmt.Sprintf("%016x", xxhash.Sum64String(pv))
	return filepath.Join("subvol", h[:2], h[2:4], pv)
}

func (v *volume) data(brick int, pv string) string { return filepath.Join(v.bricks[brick], pathOf(pv)) }

func (v *volume) info(brick int, pv string) string {
	return filepath.Join(v.bricks[brick], "info", strings.TrimPrefix(pathOf(pv), "subvol/")+".json")
}

// create creates the directory and the description of a persistent volume on each local brick, as the bricks do on
// behalf of gluster-bridge. Without a project id the description is one of kadalu.
func (v *volume) create(pv string, size int64, project uint32) {
	v.e.Helper()
	for i := range v.bricks {
		require.NoError(v.e, os.MkdirAll(v.data(i, pv), 0o777))
	}
	v.describe(pv, size, project)
}

// description returns the description of a persistent volume.
func description(pv string, size int64, project uint32) string {
	content := fmt.Sprintf(`{"size": %d, "path_prefix": %q`, size, filepath.Dir(pathOf(pv)))
	if project != 0 {
		content += fmt.Sprintf(`, "project_id": %d`, project)
	}
	return content + "}\n"
}

// describe writes the description of a persistent volume and the file in the spool directory.
func (v *volume) describe(pv string, size int64, project uint32) {
	v.e.Helper()
	for i, brick := range v.bricks {
		v.replace(v.info(i, pv), description(pv, size, project))
		v.replace(filepath.Join(brick, ".weir/spool", pv), "{}")
	}
}

// replace replaces a file atomically.
func (v *volume) replace(name, content string) {
	v.e.Helper()
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".tmp")
	v.e.write(temporary, content)
	require.NoError(v.e, os.Rename(temporary, name))
}

// remove removes a persistent volume.
func (v *volume) remove(pv string) {
	v.e.Helper()
	for i, brick := range v.bricks {
		require.NoError(v.e, os.RemoveAll(v.data(i, pv)))
		require.NoError(v.e, os.Remove(v.info(i, pv)))
		require.NoError(v.e, os.Remove(filepath.Join(brick, ".weir/spool", pv)))
	}
}

// quota returns the project of a directory, and the limit and use of a project on the file system of a brick.
func (v *volume) quota(brick int, pv string, project uint32) (xfsquota.Project, xfsquota.Usage) {
	v.e.Helper()
	root, err := node.OpenDir(v.bricks[brick])
	require.NoError(v.e, err)
	defer func() { _ = root.Close() }()
	var of xfsquota.Project
	if dir, err := root.OpenDir(pathOf(pv)); err == nil {
		of, err = xfsquota.ProjectOf(dir.File())
		require.NoError(v.e, err)
		require.NoError(v.e, dir.Close())
	}
	if project == 0 {
		project = of.ID
	}
	usage, err := xfsquota.New(root).Get(project)
	require.NoError(v.e, err)
	return of, usage
}

// isLimited returns an error unless a directory has a limit on a brick.
func (v *volume) isLimited(brick int, pv string, project uint32, bytes uint64) error {
	of, usage := v.quota(brick, pv, project)
	if of.ID == 0 || project != 0 && of.ID != project || !of.Inherit || usage.LimitBytes != bytes {
		return fmt.Errorf("%s on %s has %+v and %+v, not the limit %d of project %d", pv, v.bricks[brick], of, usage, bytes,
			project)
	}
	return nil
}

// limited waits until a directory has a limit on all local bricks.
func (v *volume) limited(pv string, project uint32, bytes uint64) {
	v.e.Helper()
	for brick := range v.bricks {
		v.e.eventually(func() error { return v.isLimited(brick, pv, project, bytes) })
	}
}

// limit sets a limit without quotad.
func (v *volume) limit(pv string, project uint32, bytes uint64) {
	v.e.Helper()
	root, err := node.OpenDir(v.bricks[0])
	require.NoError(v.e, err)
	defer func() { _ = root.Close() }()
	dir, err := root.OpenDir(pathOf(pv))
	require.NoError(v.e, err)
	defer func() { _ = dir.Close() }()
	require.NoError(v.e, xfsquota.New(root).SetLimit(project, bytes))
	require.NoError(v.e, xfsquota.Assign(v.e.Context(), dir, project))
}

// fill writes to a new file of a persistent volume until an error, and returns the number of bytes.
func (v *volume) fill(brick int, pv string) int {
	v.e.Helper()
	file, err := os.CreateTemp(v.data(brick, pv), "")
	require.NoError(v.e, err)
	defer func() { _ = file.Close() }()
	total, block := 0, make([]byte, 64<<10)
	for total < 200*mebibyte {
		n, err := file.Write(block)
		total += n
		if err != nil {
			require.True(v.e, errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT), err)
			return total
		}
	}
	v.e.Fatalf("%s has no limit on %s", pv, v.bricks[brick])
	return 0
}
