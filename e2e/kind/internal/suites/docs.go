package suites

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/weir-dev/weir/e2e/internal/docs"
)

// documentation executes the command blocks with run=kind of all Markdown files. The blocks of one file share a shell.
func (e *environment) documentation(ctx context.Context) (string, error) {
	blocks, err := docs.Blocks(e.Root)
	if err != nil {
		return "", err
	}
	sessions, executed := map[string]*docs.Session{}, 0
	for _, block := range blocks {
		if block.Run != docs.Kind {
			continue
		}
		session := sessions[block.File]
		if session == nil {
			dir, err := os.MkdirTemp("", "weir-docs-")
			if err != nil {
				return "", err
			}
			defer os.RemoveAll(dir)
			session = &docs.Session{Root: e.Root, Dir: dir, Env: e.docsEnvironment()}
			sessions[block.File] = session
		}
		if err := session.Run(ctx, block); err != nil {
			return "", err
		}
		executed++
	}
	return fmt.Sprintf("%d blocks in %d files", executed, len(sessions)), nil
}

// docsEnvironment makes documented commands use this cluster, kubectl of this version and the images that exist
// already.
func (e *environment) docsEnvironment() []string {
	return []string{
		"PATH=" + filepath.Dir(e.KubectlPath()) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"E2E_CLUSTER=" + e.cluster.Name, "E2E_KEEP=1", "E2E_BUILD=false",
	}
}
