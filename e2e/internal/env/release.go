package env

import (
	"context"
	"fmt"
	"os/exec"
)

// BuildRelease writes the files of a revision to a directory and builds its services there.
func BuildRelease(ctx context.Context, root, revision, dir string, services ...string) error {
	const script = `git -C "$1" archive --format=tar "$2" | tar -x -C "$3"`
	command := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "-", root, revision, dir)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("write the files of revision %s: %w: %s", revision, err, output)
	}
	for _, service := range services {
		if err := Build(ctx, dir, service); err != nil {
			return fmt.Errorf("revision %s: %w", revision, err)
		}
	}
	return nil
}
