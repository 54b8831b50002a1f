package testkit

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// Kubectl runs kubectl as an administrator and returns its stdout. An error contains its stderr.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	return cp.KubectlIn(ctx, "", args...)
}

// KubectlIn is Kubectl with a stdin.
func (cp *ControlPlane) KubectlIn(ctx context.Context, stdin string, args ...string) (string, error) {
	flags := []string{"--kubeconfig=" + cp.Kubeconfig(), "--cache-dir=" + cp.file("kubectl-cache")}
	cmd := exec.CommandContext(ctx, cp.set.Path(binaries.Kubectl), append(flags, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf(
			"kubectl %s: %w: %s",
			strings.Join(args, " "),
			err,
			strings.TrimSpace(stderr.String()),
		)
	}
	return stdout.String(), nil
}
