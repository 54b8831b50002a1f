// Command kind creates a kind cluster, runs the end-to-end suites on it and prints the result of every check.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"

	"github.com/weir-dev/weir/e2e/kind/internal/cluster"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
	"github.com/weir-dev/weir/e2e/kind/internal/suites"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// additional names the images that e2e/kind/images/build builds only for the suites of a service.
var additional = map[string]string{"volume-provisioner": "zookeeper", "gluster-bridge": "gluster"}

// services returns the services whose images the suites use.
func services(selected []suite.Suite) []string {
	names := []string{"connect-scheduler", "connect-runner", "drain-cleaner"}
	for _, s := range selected {
		for _, name := range s.Services {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// loaded returns the images that are loaded into the cluster. The manifests in deploy/ use the tag latest, which is
// the tree's build here. Images of other projects, such as CSI sidecars, have the tags of the manifests.
func loaded(root string, services []string) ([]string, error) {
	images := []string{"weir.local/connect:e2e", "weir.local/plugin:e2e", "weir.local/kafka:e2e", "weir.local/load:e2e"}
	for _, name := range services {
		images = append(images, "ghcr.io/weir-dev/"+name+":latest", suites.Next(name))
		manifests, err := filepath.Glob(filepath.Join(root, "deploy", name, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, manifest := range manifests {
			data, err := os.ReadFile(manifest)
			if err != nil {
				return nil, err
			}
			for _, match := range imageField.FindAllSubmatch(data, -1) {
				if image := string(match[1]); !strings.HasPrefix(image, "ghcr.io/weir-dev/") {
					images = append(images, image)
				}
			}
		}
	}
	if slices.Contains(services, "volume-provisioner") {
		images = append(images, "weir.local/zookeeper:e2e")
	}
	slices.Sort(images)
	return slices.Compact(images), nil
}

var imageField = regexp.MustCompile(`(?m)^\s+(?:- )?image: (\S+)$`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen := flag.String("suite", "", "comma-separated names of suites to run; empty runs all")
	clean := flag.Bool("clean", false, "delete a cluster kept by E2E_KEEP=1 and exit")
	up := flag.Bool("up", false, "create the cluster, load the images and exit; use with E2E_KEEP=1")
	kubeconfig := flag.Bool("kubeconfig", false, "print the path of the kubeconfig of the cluster and exit")
	flag.Parse()
	name := os.Getenv("E2E_CLUSTER")
	if name == "" {
		name = "weir-e2e"
	}
	if *kubeconfig {
		fmt.Println(newCluster(name, false).Kubeconfig())
		return
	}
	if err := run(ctx, name, *chosen, *clean, *up); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// newCluster returns the cluster with its directory below the user's cache directory, or below /tmp without a home
// directory.
func newCluster(name string, keep bool) *cluster.Cluster {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return cluster.New(name, filepath.Join(cache, "weir", "e2e", name), keep, os.Stdout)
}

func run(ctx context.Context, name, chosen string, clean, up bool) error {
	began := time.Now()
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	c := newCluster(name, os.Getenv("E2E_KEEP") != "" && !clean)
	if clean {
		return c.Delete()
	}
	// An unknown suite name fails before the cluster is created. With up, chosen is empty: all suites.
	selected, err := choose(suites.All(nil, nil), chosen)
	if err != nil {
		return err
	}
	used := services(selected)
	logf := func(format string, args ...any) {
		fmt.Printf("e2e %6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := script(ctx, root, os.Stderr, "scripts/images/docker", "up"); err != nil {
		return err
	}
	if err := c.Preflight(ctx); err != nil {
		return err
	}
	logf("images")
	if err := images(ctx, root, used); err != nil {
		return err
	}
	node, err := nodeImage(ctx, root)
	if err != nil {
		return err
	}
	programs, err := binaries.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	logf("cluster %s of %s", name, node)
	artifacts := filepath.Join(root, "e2e", "artifacts")
	if err := os.RemoveAll(artifacts); err != nil {
		return err
	}
	if err := c.Create(ctx, node); err != nil {
		c.Logs(filepath.Join(artifacts, "cluster", "nodes"))
		fmt.Fprintln(os.Stderr, "e2e: the node logs are in e2e/artifacts/cluster")
		return errors.Join(err, c.Delete())
	}
	logf("loading images")
	used, err = loaded(root, used)
	if err == nil {
		err = c.Load(ctx, used...)
	}
	if err == nil && !up {
		err = runSuites(ctx, c, programs.Path(binaries.Kubectl), root, artifacts, chosen, logf)
	}
	err = errors.Join(err, c.Delete())
	logf("done")
	return err
}

// runSuites runs the chosen suites and collects diagnostics of failed ones.
func runSuites(
	ctx context.Context,
	c *cluster.Cluster,
	kubectl, root, artifacts, chosen string,
	logf func(string, ...any),
) error {
	e, err := env.New(c.Kubeconfig(), kubectl, root)
	if err != nil {
		return err
	}
	selected, err := choose(suites.All(e, c), chosen)
	if err != nil {
		return err
	}
	logf("suites")
	return suite.Run(ctx, os.Stdout, selected, func(ctx context.Context, s suite.Suite) {
		dir := filepath.Join(artifacts, s.Name)
		e.Dump(ctx, dir)
		c.Logs(filepath.Join(dir, "nodes"))
		fmt.Printf("objects, events and logs are in e2e/artifacts/%s\n", s.Name)
	})
}

// choose returns the suites with the given comma-separated names, or all suites for "".
func choose(all []suite.Suite, names string) ([]suite.Suite, error) {
	if names == "" {
		return all, nil
	}
	var chosen []suite.Suite
	known := make([]string, len(all))
	for i, s := range all {
		known[i] = s.Name
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, fmt.Errorf("unknown suite %q; the suites are: %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// images builds all images for the cluster. E2E_BUILD=false uses the existing images of the services.
func images(ctx context.Context, root string, services []string) error {
	if os.Getenv("E2E_BUILD") != "false" {
		if err := script(ctx, root, os.Stdout, "scripts/images/build", services...); err != nil {
			return err
		}
	}
	for _, service := range services {
		image := "ghcr.io/weir-dev/" + service
		for _, tag := range []string{image + ":latest", image + ":next"} {
			if err := script(ctx, root, os.Stderr, "docker", "tag", image+":dev", tag); err != nil {
				return err
			}
		}
	}
	var names []string
	for _, service := range services {
		if name, ok := additional[service]; ok {
			names = append(names, name)
		}
	}
	return script(ctx, root, os.Stdout, "e2e/kind/images/build", names...)
}

// nodeImage returns WEIR_NODE_IMAGE, or kind's default image, or a locally built image if the default cannot be
// pulled.
func nodeImage(ctx context.Context, root string) (string, error) {
	if image := os.Getenv("WEIR_NODE_IMAGE"); image != "" {
		return image, nil
	}
	quiet := &bytes.Buffer{}
	if script(ctx, root, quiet, "docker", "image", "inspect", defaults.Image) == nil ||
		script(ctx, root, quiet, "docker", "pull", "-q", defaults.Image) == nil {
		return defaults.Image, nil
	}
	built := exec.CommandContext(ctx, filepath.Join(root, "e2e", "node-image", "build"))
	built.Stderr = os.Stderr
	out, err := built.Output()
	if err != nil {
		return "", fmt.Errorf("%s cannot be pulled; build a node image: %w", defaults.Image, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// script runs a program in the root directory of the repository. A path with a slash is relative to the root.
func script(ctx context.Context, root string, out io.Writer, name string, args ...string) error {
	if strings.Contains(name, "/") {
		name = filepath.Join(root, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if buffer, quiet := out.(*bytes.Buffer); quiet {
		cmd.Stderr = buffer
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return nil
}
