//go:build linux

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/pkg/timer"
)

// probe starts the probes of the present run of the container. Without probes it is ready at once.
func (c *container) probe(ctx context.Context) {
	ctx, c.stopProbes = context.WithCancel(ctx)
	c.status.Started = ptr.To(c.spec.StartupProbe == nil)
	c.status.Ready = c.spec.StartupProbe == nil && c.spec.ReadinessProbe == nil
	go func() {
		if c.spec.StartupProbe != nil && !c.startup(ctx) {
			return
		}
		if c.spec.ReadinessProbe != nil {
			go c.repeat(ctx, c.spec.ReadinessProbe, func(ready bool) { c.status.Ready = ready })
		}
		if c.spec.LivenessProbe != nil {
			c.repeat(ctx, c.spec.LivenessProbe, func(alive bool) {
				if !alive {
					c.worker.node.logf("pod %s/%s: the liveness probe of container %s failed",
						c.worker.namespace, c.worker.name, c.spec.Name)
					c.signal(syscall.SIGTERM)
				}
			})
		}
	}()
}

// startup waits until the startup probe succeeds. It returns false if the container ended or was stopped.
func (c *container) startup(ctx context.Context) bool {
	started := false
	probing, stop := context.WithCancel(ctx)
	defer stop()
	c.repeat(probing, c.spec.StartupProbe, func(success bool) {
		stop()
		if !success {
			c.signal(syscall.SIGKILL)
			return
		}
		started = true
		c.status.Started, c.status.Ready = ptr.To(true), c.spec.ReadinessProbe == nil
	})
	return started && ctx.Err() == nil
}

// repeat probes until ctx ends. It calls change on the worker's goroutine when the result of the probe changes, with
// its thresholds.
func (c *container) repeat(ctx context.Context, p *corev1.Probe, change func(success bool)) {
	if !timer.Sleep(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	var last *bool
	same := int32(0)
	previous := false
	for {
		success := c.once(ctx, p) == nil
		if success != previous {
			same = 0
		}
		same++
		previous = success
		threshold := max(p.FailureThreshold, 1)
		if success {
			threshold = max(p.SuccessThreshold, 1)
		}
		if same >= threshold && (last == nil || *last != success) {
			last = ptr.To(success)
			if !c.call(ctx, func() { change(success) }) {
				return
			}
		}
		if !timer.Sleep(ctx, time.Duration(max(p.PeriodSeconds, 1))*time.Second) {
			return
		}
	}
}

// call runs f on the worker's goroutine. It returns false if ctx ends first.
func (c *container) call(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case <-ctx.Done():
		return false
	case c.worker.calls <- func() { defer close(done); f() }:
		<-done
		return true
	}
}

// once probes the container once.
func (c *container) once(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	if p.TCPSocket != nil {
		connection, err := c.worker.network.dial(ctx, c.endpoint(p.TCPSocket.Port))
		if err != nil {
			return err
		}
		return connection.Close()
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return c.worker.network.dial(ctx, address)
		},
	}}
	path, query, _ := strings.Cut(p.HTTPGet.Path, "?")
	target := url.URL{
		Scheme: strings.ToLower(string(p.HTTPGet.Scheme)), Host: c.endpoint(p.HTTPGet.Port), Path: path, RawQuery: query,
	}
	if target.Scheme == "https" {
		return errors.New("probe: HTTPS is not supported")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("probe: status %d", response.StatusCode)
	}
	return nil
}

// endpoint returns the address of a port, which may be named.
func (c *container) endpoint(port intstr.IntOrString) string {
	number := port.IntValue()
	for _, p := range c.spec.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal {
			number = int(p.ContainerPort)
		}
	}
	return net.JoinHostPort(c.worker.network.address, strconv.Itoa(number))
}

// serverPort returns the port of the API server.
func serverPort(server string) (int, error) {
	u, err := url.Parse(server)
	if err != nil {
		return 0, fmt.Errorf("address of the API server: %w", err)
	}
	return strconv.Atoi(u.Port())
}

func keys(m map[string]string) iter.Seq[string] { return maps.Keys(m) }
