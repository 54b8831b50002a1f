package check

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Files calls visit with each file of the repository: the tracked files, and the untracked ones that are not
// ignored. Names are relative to root.
func Files(root string, visit func(name string, data []byte)) error {
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(output), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		// A file that was removed from the working tree is still listed.
		if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		visit(name, data)
	}
	return nil
}

// IsText reports whether data is text.
func IsText(data []byte) bool { return bytes.IndexByte(data, 0) < 0 }
