//go:build linux

package gluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// unusedBrick is the time after which the client of a brick ends. A client has 13 MiB, and starts in 0.1 s.
const unusedBrick = time.Minute

// brickClients are the clients of single bricks. They are read-only.
type brickClients struct {
	mu      sync.Mutex
	clients map[string]*brickClient
}

// brickClient is mounted when it is used.
type brickClient struct {
	point string
	// mounting is held by the call that mounts; calls limits the calls that wait for a brick that does not answer.
	mounting, calls chan struct{}
	// users is the number of calls that use it. unused ends it after the last one.
	users  int
	unused *time.Timer
	// failed is why the last start failed, at failedAt. The call that mounts uses it.
	failed   error
	failedAt time.Time
	// encrypted is true if the last start was one with TLS.
	encrypted atomic.Bool
}

// starting returns the error of a call whose context has ended before the client serves the brick.
func (c *brickClient) starting(ctx context.Context) error {
	return fmt.Errorf("its client is starting: %s: %w", c.advice(), context.Cause(ctx))
}

// advice names what to check if the client of a brick does not serve it.
func (c *brickClient) advice() string {
	if c.encrypted.Load() {
		return "check the certificate, because the volume has client.ssl, and that its port is reachable"
	}
	return "check that its port is reachable"
}

// use returns the client with a key until release.
func (b *brickClients) use(root, key string) (c *brickClient, release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c = b.clients[key]
	if c == nil {
		c = &brickClient{
			point: filepath.Join(root, key), mounting: make(chan struct{}, 1), calls: make(chan struct{}, maxCalls),
		}
		c.unused = time.AfterFunc(unusedBrick, func() { b.end(key) })
		if b.clients == nil {
			b.clients = map[string]*brickClient{}
		}
		b.clients[key] = c
	}
	c.users++
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		c.users--
		c.unused.Reset(unusedBrick)
	}
}

// end ends an unused client. Its process ends with its mount.
func (b *brickClients) end(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[key]; c != nil && c.users == 0 {
		_ = Unmount(c.point)
		delete(b.clients, key)
	}
}

func (b *brickClients) unmountAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.clients {
		c.unused.Stop()
		_ = Unmount(c.point)
	}
	b.clients = nil
}

// brickShows reports whether statfs of a directory on one brick of a volume shows a limit. It starts the client of the
// brick unless it runs.
func (p *Pool) brickShows(
	ctx context.Context, h *Hosted, graph decide.Graph, index int, directory string, limit decide.Limit,
) (bool, error) {
	// The key has all of the brick that can change: another brick may get the name of the translator.
	sum := sha256.Sum256([]byte(h.Key + "\x00" + graph.Clients[index] + "\x00" + graph.Bricks[index]))
	key := h.volume.Name + "-brick-" + hex.EncodeToString(sum[:8])
	c, release := p.bricks.use(p.Root, key)
	defer release()
	if err := p.mountBrick(ctx, c, key, h.Point, graph.Clients[index]); err != nil {
		return false, err
	}
	select {
	case c.calls <- struct{}{}:
	default:
		return false, fmt.Errorf("%d calls are waiting for it", maxCalls)
	}
	type answer struct {
		shows bool
		err   error
	}
	result := make(chan answer, 1)
	go func() {
		defer func() { <-c.calls }()
		tree, err := OpenTree(c.point)
		if err != nil {
			result <- answer{false, err}
			return
		}
		shows, err := tree.shows(directory, limit)
		_ = tree.Close()
		// Self-heal creates the directory later on a brick that was offline.
		if missing(err) {
			err = nil
		}
		result <- answer{shows, err}
	}()
	select {
	case a := <-result:
		return a.shows, a.err
	case <-ctx.Done():
		return false, fmt.Errorf("it does not answer: %w", context.Cause(ctx))
	}
}

// brickTimeout limits the start of the client of a brick.
const brickTimeout = 30 * time.Second

// mountBrick mounts a brick with the volfile of a mounted client of its volume. The client starts also if ctx ends: the
// next call finds it.
func (p *Pool) mountBrick(ctx context.Context, c *brickClient, key, volume, translator string) error {
	select {
	case c.mounting <- struct{}{}:
	case <-ctx.Done():
		return c.starting(ctx)
	}
	result := make(chan error, 1)
	go func() {
		defer func() { <-c.mounting }()
		starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), brickTimeout)
		defer cancel()
		result <- p.startBrickAgain(starting, c, key, volume, translator)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return c.starting(ctx)
	}
}

// retryBrick is the time between two attempts to start the client of a brick. Calls ask more often.
const retryBrick = time.Second

// startBrickAgain is startBrick, unless that failed less than retryBrick ago.
func (p *Pool) startBrickAgain(ctx context.Context, c *brickClient, key, volume, translator string) error {
	if c.failed != nil && time.Since(c.failedAt) < retryBrick {
		return c.failed
	}
	c.failed = p.startBrick(ctx, c, key, volume, translator)
	c.failedAt = time.Now()
	return c.failed
}

// startBrick starts the client of a brick unless it is mounted.
func (p *Pool) startBrick(ctx context.Context, c *brickClient, key, volume, translator string) error {
	// A client that is not connected starts again, because options of the volume may have changed.
	if serves, err := serves(ctx, c.point); err != nil || serves {
		return err
	}
	local := p.localClients()
	volfile, err := readVolfile(volume)
	if err != nil {
		return err
	}
	section, err := decide.BrickVolfile(volfile, translator)
	if err != nil {
		return err
	}
	c.encrypted.Store(decide.Encrypted(section))
	file, err := memoryFile(section)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	err = local.run(ctx, key, c.point, []string{
		"--no-daemon", "--volfile=/proc/self/fd/3", "--process-name=fuse", "--read-only", "--log-level=WARNING",
		"--log-file=" + local.logFile(key), c.point,
	}, file)
	if errors.Is(err, errNoAnswer) {
		return fmt.Errorf("%s: %w", c.advice(), err)
	}
	return err
}

// memoryFile returns a file that is not on any file system: a volfile has a password.
func memoryFile(content string) (*os.File, error) {
	fd, err := unix.MemfdCreate("volfile", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "volfile")
	if _, err := file.WriteString(content); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
