// Command routes is the pod network of a node. It writes the CNI configuration for the pod CIDR of its node and
// keeps one route for the pod CIDR of every other node.
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const configFile = "/etc/cni/net.d/10-weir.conflist"

const configuration = `{"cniVersion": "1.0.0", "name": "weir", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
    "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("NODE_NAME")); err != nil {
		fmt.Fprintln(os.Stderr, "routes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, self string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	sync := func(object any) {
		node, ok := object.(*corev1.Node)
		if !ok {
			return
		}
		if err := apply(ctx, node, node.Name == self); err != nil {
			select {
			case failed <- fmt.Errorf("node %s: %w", node.Name, err):
			default:
			}
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    sync,
		UpdateFunc: func(_, object any) { sync(object) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// apply makes the pods of a node reachable from this node.
func apply(ctx context.Context, node *corev1.Node, own bool) error {
	pods, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil {
		return nil //nolint:nilerr // no pod CIDR yet: a later update has one
	}
	if own {
		return writeAtomically(configFile, fmt.Sprintf(configuration, pods))
	}
	for _, address := range node.Status.Addresses {
		if address.Type != corev1.NodeInternalIP {
			continue
		}
		out, err := exec.CommandContext(ctx, "ip", "route", "replace", pods.String(), "via", address.Address).
			CombinedOutput()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf(
				"ip route replace %s via %s: %w: %s",
				pods,
				address.Address,
				err,
				strings.TrimSpace(string(out)),
			)
		}
		return nil
	}
	return nil
}

// writeAtomically replaces a file by renaming, unless it already has the content.
func writeAtomically(name, content string) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == content {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
