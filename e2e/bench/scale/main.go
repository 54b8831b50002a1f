// Command scale measures how the cost of a service grows with the number of its objects. It runs the benchmark of each
// service at several sizes, each on a fresh control plane, prints the cost per object, and with -out writes a report
// with plots. Constant figures mean that the cost grows in proportion to the number of objects.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// subject is a service with objects that can be many.
type subject struct {
	service, objects string
	// arguments returns the arguments of the service's benchmark in e2e/bench for a number of objects.
	arguments func(n int) []string
	// pkg is the package of the service with TestScale instead, and variable sets its number of objects.
	pkg, variable string
}

var subjects = []subject{
	{service: "connect-scheduler", objects: "KafkaConnectors with 3 tasks", arguments: func(n int) []string {
		return []string{"-connectors=" + strconv.Itoa(n)}
	}},
	{service: "drain-cleaner", objects: "KafkaDrainPolicies with one pod", arguments: func(n int) []string {
		// 10 in each namespace.
		return []string{"-policies=" + strconv.Itoa(n), "-namespaces=" + strconv.Itoa(max(1, n/10))}
	}},
	{service: "volume-provisioner", objects: "volumes", arguments: func(n int) []string {
		// 5 replicas of 2 templates for each set.
		return []string{"-sets=" + strconv.Itoa(max(1, n/10))}
	}},
	{service: "gluster-bridge", objects: "GlusterVolumes", pkg: "./test/bench", variable: "WEIR_BENCH_VOLUMES"},
	{service: "quotad", objects: "directories", pkg: "./test/bricks", variable: "WEIR_BENCH_DIRECTORIES"},
}

// series are the costs of one subject in ascending order of sizes.
type series struct {
	subject
	costs []bench.Cost
}

func main() {
	sizes := flag.String("sizes", "100,300,1000,3000", "numbers of objects, in ascending order")
	service := flag.String("service", "", "measure only this service")
	out := flag.String("out", "", "directory for report.md and the plots; empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *sizes, *service, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench-scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, list, service, out string) error {
	sizes, err := parse(list)
	if err != nil {
		return err
	}
	root, err := env.Root()
	if err != nil {
		return err
	}
	var all []series
	for _, s := range subjects {
		if service != "" && s.service != service {
			continue
		}
		measured := series{subject: s}
		for _, size := range sizes {
			cost, err := measure(ctx, root, s, size)
			if err != nil {
				return fmt.Errorf("%s with %d %s: %w", s.service, size, s.objects, err)
			}
			measured.costs = append(measured.costs, cost)
		}
		all = append(all, measured)
		measured.print(os.Stdout)
	}
	if len(all) == 0 {
		return fmt.Errorf("no service %q has objects to measure", service)
	}
	if out == "" {
		return nil
	}
	return write(out, all)
}

// parse parses the numbers of objects.
func parse(list string) ([]int, error) {
	var sizes []int
	for text := range strings.SplitSeq(list, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 {
			return nil, fmt.Errorf("-sizes: %q is not a positive number", text)
		}
		sizes = append(sizes, size)
	}
	if !slices.IsSorted(sizes) || len(sizes) < 2 {
		return nil, errors.New("-sizes: give at least two numbers in ascending order")
	}
	return sizes, nil
}

// measure runs the benchmark of a service with a number of objects.
func measure(ctx context.Context, root string, s subject, size int) (bench.Cost, error) {
	if s.pkg != "" {
		return measureTest(ctx, root, s, size)
	}
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return bench.Cost{}, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "cost.json")
	arguments := append([]string{"run", "./bench/" + s.service, "-cost=" + file}, s.arguments(size)...)
	command := program(ctx, filepath.Join(root, "e2e"), arguments...)
	command.Stdout = os.Stderr
	if err := command.Run(); err != nil {
		return bench.Cost{}, err
	}
	return bench.ReadCost(file)
}

// measureTest runs the benchmark of a service that is a test.
func measureTest(ctx context.Context, root string, s subject, size int) (bench.Cost, error) {
	command := program(ctx, filepath.Join(root, "services", s.service),
		"test", s.pkg, "-run", "^TestScale$", "-v", "-count=1", "-timeout=40m")
	command.Env = append(os.Environ(), "WEIR_BENCH=true", fmt.Sprintf("%s=%d", s.variable, size))
	var output strings.Builder
	command.Stdout = io.MultiWriter(os.Stderr, &output)
	if err := command.Run(); err != nil {
		return bench.Cost{}, err
	}
	// A test that cannot run here is skipped and says why in its output.
	return bench.FindCost(output.String())
}

// program returns a go command in a directory.
func program(ctx context.Context, dir string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir, command.Stderr = dir, os.Stderr
	// An interrupt lets the benchmark stop its control plane.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	return command
}
