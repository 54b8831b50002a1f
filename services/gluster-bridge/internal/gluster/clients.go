//go:build linux

package gluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Clients runs the FUSE clients of volumes.
type Clients interface {
	// Mount mounts a volume at the directory Key of the mount directory. It returns when the volume is served.
	Mount(ctx context.Context, m decide.Mountable) error
	// Unmount unmounts it.
	Unmount(ctx context.Context, m decide.Mountable) error
	// Running reports whether its client runs.
	Running(ctx context.Context, m decide.Mountable) (bool, error)
}

// volumeJSON is the form of a volume in requests and records. Processes of different releases exchange it: fields are
// only added.
type volumeJSON struct {
	Hosts   []string `json:"hosts"`
	Port    int32    `json:"port"`
	Name    string   `json:"name"`
	Options []string `json:"options,omitempty"`
}

func toJSON(m decide.Mountable) volumeJSON { return volumeJSON(m) }

// volume returns the volume if all fields are valid.
func (v volumeJSON) volume() (decide.Mountable, error) {
	m, findings := decide.Mountable(v).Check()
	if len(findings) > 0 {
		return m, findings[0]
	}
	return m, nil
}

// Paths of the requests to the process that runs the clients.
const (
	mountPath   = "/v1/mount"
	unmountPath = "/v1/unmount"
	runningPath = "/v1/running"
)

// query is the operation that changes nothing.
const query = "query"

// maxRequest is the largest request and response.
const maxRequest = 1 << 20

// Handler serves Clients to Remote. Each request is limited to timeout.
func Handler(c Clients, timeout time.Duration, log *slog.Logger) http.Handler {
	var locks keyLocks
	serve := func(operation string, f func(context.Context, decide.Mountable) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), timeout)
			defer cancel()
			var request volumeJSON
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&request)
			var m decide.Mountable
			if err == nil {
				m, err = request.volume()
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			unlock, err := locks.lock(ctx, Key(m))
			if err == nil {
				err = f(ctx, m)
				unlock()
			}
			if errors.Is(err, errNotRunning) {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			if err != nil {
				log.Warn(operation+" failed", "client", Key(m), "error", err)
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			if operation != query {
				log.Info(operation, "client", Key(m))
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+mountPath, serve("mount", c.Mount))
	mux.HandleFunc("POST "+unmountPath, serve("unmount", c.Unmount))
	mux.HandleFunc("POST "+runningPath, serve(query, func(ctx context.Context, m decide.Mountable) error {
		if running, err := c.Running(ctx, m); err != nil || running {
			return err
		}
		return errNotRunning
	}))
	return mux
}

// errNotRunning is the response that a client does not run.
var errNotRunning = errors.New("the client does not run")

// keyLocks has a lock per key.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func (l *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	if l.held[key] == nil {
		l.held[key] = make(chan struct{}, 1)
	}
	held := l.held[key]
	l.mu.Unlock()
	select {
	case held <- struct{}{}:
		return func() { <-held }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("another request for %s is running: %w", key, context.Cause(ctx))
	}
}

// Remote runs the clients in another process on the node, which outlives this one.
type Remote struct{ client *http.Client }

// NewRemote returns the clients of the process that listens at a unix socket.
func NewRemote(socket string) *Remote {
	return &Remote{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			if err != nil {
				err = fmt.Errorf("the process that runs the GlusterFS clients is not available; check the DaemonSet "+
					"gluster-bridge-clients on this node: %w", err)
			}
			return conn, err
		},
	}}}
}

// Mount mounts a volume.
func (r *Remote) Mount(ctx context.Context, m decide.Mountable) error {
	return r.call(ctx, mountPath, m)
}

// Unmount unmounts a volume.
func (r *Remote) Unmount(ctx context.Context, m decide.Mountable) error {
	return r.call(ctx, unmountPath, m)
}

// Running reports whether the client of a volume runs.
func (r *Remote) Running(ctx context.Context, m decide.Mountable) (bool, error) {
	err := r.call(ctx, runningPath, m)
	if errors.Is(err, errNotRunning) {
		return false, nil
	}
	return err == nil, err
}

func (r *Remote) call(ctx context.Context, path string, m decide.Mountable) error {
	body, err := json.Marshal(toJSON(m))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://clients"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return fmt.Errorf("volume %s: %w", m.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxRequest))
	switch {
	case err != nil:
	case response.StatusCode == http.StatusNotFound && path == runningPath:
		err = errNotRunning
	case response.StatusCode != http.StatusOK:
		err = errors.New(strings.TrimSpace(string(text)))
	}
	return err
}
