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

// needed is the room, in bytes, for a node image, the images of the suite, and what four nodes unpack of them.
const needed = 12 << 30

// inotifyInstances is what the kubelets, container runtimes and init systems of four nodes take.
const inotifyInstances = 512

// Preflight looks for what would fail later with words that say less; Docker answers already.
func (c *Cluster) Preflight(ctx context.Context) error {
	return errors.Join(c.nameIsFree(), roomIsLeft(ctx), limitsSuffice())
}

func (c *Cluster) nameIsFree() error {
	names, err := c.provider.List()
	if err != nil {
		return fmt.Errorf("list kind clusters: %w", err)
	}
	if slices.Contains(names, c.Name) && !c.keep {
		return fmt.Errorf("there is a kind cluster %s already: E2E_KEEP=1 uses it again, make e2e-clean deletes it, E2E_CLUSTER names another", c.Name)
	}
	return nil
}

func roomIsLeft(ctx context.Context) error {
	dir, err := docker(ctx, "info", "--format", "{{.DockerRootDir}}")
	if err != nil {
		return err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return nil //nolint:nilerr // Docker keeps its files in another machine, a virtual one for example
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < needed { //nolint:gosec // block sizes are positive
		return fmt.Errorf("%d GB are free in %s, %d GB are needed: docker system prune makes room", free>>30, dir, needed>>30)
	}
	return nil
}

// limitsSuffice raises a limit that four nodes exceed, where that is allowed.
func limitsSuffice() error {
	const file = "/proc/sys/fs/inotify/max_user_instances"
	data, err := os.ReadFile(file)
	if err != nil {
		return nil //nolint:nilerr // no Linux: Docker runs in a virtual machine, which has its own
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(data))); err != nil || now >= inotifyInstances {
		return nil //nolint:nilerr // what cannot be read is not ours to judge
	}
	if os.WriteFile(file, []byte(strconv.Itoa(inotifyInstances)), 0o644) != nil {
		return fmt.Errorf("fs.inotify.max_user_instances is %s, too few for the kubelets of four nodes: sudo sysctl fs.inotify.max_user_instances=%d",
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
