package binaries

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const ldflags = "-s -w" +
	" -X k8s.io/component-base/version.gitVersion=" + KubernetesVersion +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=36"

// layout maps embedded files to their paths in the module. Files in a directory with a go.mod cannot be embedded.
var layout = map[string]string{
	"module/go.mod.txt":             "go.mod",
	"module/go.sum.txt":             "go.sum",
	"module/tools.go.txt":           "tools.go",
	"module/etcd.go.txt":            "etcd/main.go",
	"supervisor/main.go":            "supervisor/main.go",
	"supervisor/pdeathsig_linux.go": "supervisor/pdeathsig_linux.go",
	"supervisor/pdeathsig_other.go": "supervisor/pdeathsig_other.go",
}

const buildingSuffix = ".building-"

func build(ctx context.Context, dir string, missing []artifact, progress io.Writer) error {
	// The lock is held, so existing directories are left from killed builds. Their compilers may still be writing:
	// errors are ignored, and the next build removes them.
	left, err := filepath.Glob(dir + buildingSuffix + "*")
	if err != nil {
		return err
	}
	for _, old := range left {
		_ = os.RemoveAll(old)
	}
	// In the same file system as dir, so that renames are atomic.
	tmp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+buildingSuffix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := layOut(tmp); err != nil {
		return fmt.Errorf("write the module to build from: %w", err)
	}
	if len(missing) > 2 {
		fmt.Fprintf(
			progress,
			"testkit: building a Kubernetes %s control plane in %s; this takes several minutes the first time\n",
			KubernetesVersion,
			dir,
		)
	}
	start := time.Now()
	for i, a := range missing {
		r := &reporter{out: progress, what: fmt.Sprintf("[%d/%d] %s", i+1, len(missing), a.name), start: start}
		built := filepath.Join(tmp, "out-"+a.name)
		if a.pkg == "" {
			err = copyStages(ctx, tmp, built)
		} else {
			err = compile(ctx, tmp, built, a, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if err := os.Rename(built, filepath.Join(dir, a.name)); err != nil {
			return err
		}
		r.line("done")
	}
	return nil
}

func layOut(dir string) error {
	for from, to := range layout {
		data, err := sources.ReadFile(from)
		if err != nil {
			return err
		}
		to = filepath.Join(dir, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// The programs run on this machine, even if the caller cross-compiles. With the caller's flags, packages that it has
	// compiled come from the build cache.
	flags := strings.TrimSpace("-mod=readonly " + os.Getenv("GOFLAGS"))
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS="+flags, "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	return cmd
}

func compile(ctx context.Context, module, out string, a artifact, r *reporter) error {
	flags := ldflags
	if a.name == Supervisor || a.name == Etcd {
		flags = "-s -w"
	}
	cmd := goCommand(ctx, module, "build", "-v", "-buildvcs=false", "-ldflags", flags, "-o", out, a.pkg)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := r.every(5 * time.Second)
	defer stop()
	var output bytes.Buffer
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(&output, lines.Text())
		// With -v go prints one line per compiled package and downloaded module.
		r.add(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", a.pkg, err, tail(output.String(), 20))
	}
	return nil
}

// copyStages copies the stages that make nodes and pods ready immediately from kwok's module.
func copyStages(ctx context.Context, module, to string) error {
	out, err := goCommand(ctx, module, "mod", "download", "-json", "sigs.k8s.io/kwok@"+KwokVersion).Output()
	if err != nil {
		return fmt.Errorf("download the module sigs.k8s.io/kwok: %w", err)
	}
	var download struct{ Dir string }
	if err := json.Unmarshal(out, &download); err != nil {
		return err
	}
	for _, kind := range []string{"node", "pod"} {
		files, err := filepath.Glob(filepath.Join(download.Dir, "kustomize", "stage", kind, "fast", kind+"-*.yaml"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no stages for %ss in %s: %w", kind, download.Dir, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(to, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// reporter reports the progress of a build.
type reporter struct {
	out   io.Writer
	what  string
	start time.Time

	mu    sync.Mutex
	count int
	last  string
}

func (r *reporter) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.HasPrefix(line, "go: ") {
		r.count++
	}
	r.last = line
}

func (r *reporter) line(s string) {
	fmt.Fprintf(r.out, "testkit: %4.0f s %s: %s\n", time.Since(r.start).Seconds(), r.what, s)
}

func (r *reporter) every(d time.Duration) (stop func()) {
	ticker, done := time.NewTicker(d), make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				r.mu.Lock()
				count, last := r.count, r.last
				r.mu.Unlock()
				if last == "" {
					last = "checking the build cache or linking"
				}
				r.line(fmt.Sprintf("%d packages compiled, now %s", count, last))
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
