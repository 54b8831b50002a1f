// Package binaries provides the programs of a Kubernetes control plane.
//
// They are built once from Go modules, with versions and checksums embedded in this package, into the user's cache
// directory. Programs of the right version in KUBEBUILDER_ASSETS or PATH are used instead.
package binaries

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

// The programs of a Set.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubectl           = "kubectl"
	Kwok              = "kwok"
	Supervisor        = "supervisor"
)

// Versions of the programs that are built. Programs in KUBEBUILDER_ASSETS or PATH may be other patch releases.
const (
	KubernetesVersion = "v1.36.3"
	EtcdVersion       = "3.6.8"
	KwokVersion       = "v0.8.0"
)

//go:embed module/*.txt supervisor/*.go
var sources embed.FS

// Set contains the paths of the programs.
type Set struct {
	// Dir is the cache directory with the built programs and kwok's stages.
	Dir   string
	paths map[string]string
}

// Path returns the absolute path of a program.
func (s *Set) Path(name string) string { return s.paths[name] }

// Stages returns the directory of kwok's stages, which make simulated nodes and pods ready immediately.
func (s *Set) Stages() string { return filepath.Join(s.Dir, "stages") }

var once struct {
	sync.Mutex
	set *Set
}

// Ensure returns the programs and builds those that are missing. The first build takes minutes and reports to progress.
// Concurrent processes wait for one build.
func Ensure(ctx context.Context, progress io.Writer) (*Set, error) {
	once.Lock()
	defer once.Unlock()
	if once.set != nil {
		return once.set, nil
	}
	key, err := cacheKey()
	if err != nil {
		return nil, err
	}
	root, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	set := &Set{Dir: filepath.Join(root, key), paths: map[string]string{}}
	if err := os.MkdirAll(set.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the cache directory: %w", err)
	}
	missing := set.locate(ctx, progress)
	if len(missing) > 0 {
		if err := buildLocked(ctx, set, missing, progress); err != nil {
			return nil, fmt.Errorf("build the programs of the control plane: %w", err)
		}
	}
	once.set = set
	return set, nil
}

// buildLocked builds the missing programs while it holds a lock, so that only one process builds.
func buildLocked(ctx context.Context, set *Set, missing []artifact, progress io.Writer) error {
	lock, err := os.OpenFile(set.Dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := flock(ctx, lock, progress); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	var left []artifact
	for _, a := range missing {
		if !exists(filepath.Join(set.Dir, a.name)) {
			left = append(left, a)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return build(ctx, set.Dir, left, progress)
}

func flock(ctx context.Context, f *os.File, progress io.Writer) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	fmt.Fprintln(progress, "testkit: waiting for another process to build the control plane")
	done := make(chan error, 1)
	go func() { done <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cacheKey is a hash of everything that determines the programs: the embedded sources, the Go version and the flags.
func cacheKey() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, ldflags)
	err := fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := sources.ReadFile(path)
		fmt.Fprintln(h, path, len(data))
		h.Write(data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

func cacheRoot() (string, error) {
	root := os.Getenv("WEIR_CACHE")
	if root == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory (WEIR_CACHE sets another): %w", err)
		}
		root = filepath.Join(dir, "weir")
	}
	return filepath.Abs(filepath.Join(root, "controlplane"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
