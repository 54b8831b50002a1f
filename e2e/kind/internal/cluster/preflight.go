package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Disk space in bytes. newCluster is for the node image, the images of the suites, and the unpacked images of four
// nodes. reusedCluster is for the images of a changed tree.
const (
	newCluster    = 12 << 30
	reusedCluster = 4 << 30
)

// inotifyInstances is the number of inotify instances that four nodes need.
const inotifyInstances = 512

// Preflight checks requirements whose later failure would be hard to understand. A Docker daemon must be running.
func (c *Cluster) Preflight(ctx context.Context) error {
	names, err := c.provider.List()
	if err != nil {
		return fmt.Errorf("list kind clusters: %w", err)
	}
	exists, needed := slices.Contains(names, c.Name), uint64(newCluster)
	if exists {
		needed = reusedCluster
	}
	return errors.Join(c.checkName(exists), checkDiskSpace(ctx, needed), checkInotifyLimit())
}

func (c *Cluster) checkName(exists bool) error {
	if exists && !c.keep {
		return fmt.Errorf(
			"kind cluster %s exists; E2E_KEEP=1 reuses it, make e2e-clean deletes it, E2E_CLUSTER sets another name",
			c.Name,
		)
	}
	return nil
}

func checkDiskSpace(ctx context.Context, needed uint64) error {
	dir, err := docker(ctx, "info", "--format", "{{.DockerRootDir}}")
	if err != nil {
		return err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return nil //nolint:nilerr // Docker runs in a virtual machine
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < needed { //nolint:gosec // block sizes are positive
		return fmt.Errorf(
			"%d GB are free in %s, %d GB are needed; free disk space, for example with docker system prune",
			free>>30,
			dir,
			needed>>30,
		)
	}
	return nil
}

// checkInotifyLimit raises the inotify limit for four nodes if necessary and permitted.
func checkInotifyLimit() error {
	const file = "/proc/sys/fs/inotify/max_user_instances"
	data, err := os.ReadFile(file)
	if err != nil {
		return nil //nolint:nilerr // not Linux: Docker runs in a virtual machine with its own limit
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(data))); err != nil || now >= inotifyInstances {
		return nil //nolint:nilerr // an unknown format is not an error
	}
	if os.WriteFile(file, []byte(strconv.Itoa(inotifyInstances)), 0o644) != nil {
		return fmt.Errorf("fs.inotify.max_user_instances is %s; run sudo sysctl fs.inotify.max_user_instances=%d",
			strings.TrimSpace(string(data)), inotifyInstances)
	}
	return nil
}

// docker runs a docker command and returns what it prints.
func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("docker %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
