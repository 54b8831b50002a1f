// Command volume-provisioner benchmarks volume-provisioner on an embedded control plane. It measures:
//   - the time from the first KafkaLocalVolumeSet until all PersistentVolumes exist, until all are Available, and until
//     all sets are Ready, in alternating rounds with a bare client that creates copies of the same PersistentVolumes;
//   - in the same rounds, a model of local-path-provisioner, with the default limits of its API client and without;
//   - the memory of the controller with many PersistentVolumes, and its CPU while nothing changes;
//   - CPU and memory of a real agent with its directories on this machine.
//
// The nodes of the rounds have no disks: a model of the agent reports each requested directory as ready at once. It
// prints the results and does not judge them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const service = "volume-provisioner"

// options are the sizes of the benchmark.
type options struct {
	sets, replicas, templates int
	nodes, rounds             int
	localPath                 int
	many, directories         int
	idle, manyLimit           time.Duration
	pprof                     string
	// cost is the file for the cost of the volumes; if it is set, nothing else is measured.
	cost string
}

// arguments returns the arguments of the controller.
func (o options) arguments() []string {
	if o.pprof == "" {
		return nil
	}
	return []string{"--pprof-address=" + o.pprof}
}

func main() {
	o := options{}
	flag.IntVar(&o.sets, "sets", 100, "number of KafkaLocalVolumeSets")
	flag.IntVar(&o.replicas, "replicas", 5, "replicas of each set")
	flag.IntVar(&o.templates, "templates", 2, "templates of each set: volumes of each replica")
	flag.IntVar(&o.nodes, "nodes", 10, "number of nodes for 1000 volumes")
	flag.IntVar(&o.rounds, "rounds", bench.MinRounds, "alternating rounds of all subjects")
	flag.IntVar(&o.localPath, "local-path", 20, "number of volumes of the model of local-path-provisioner; 0 skips it")
	flag.IntVar(&o.many, "many", 10000, "number of volumes of the memory measurement; 0 skips it")
	flag.DurationVar(&o.manyLimit, "many-limit", 10*time.Minute,
		"longest time to create the volumes of the memory measurement; those that exist then are measured")
	flag.IntVar(&o.directories, "directories", 100, "number of directories of the real agent; 0 skips it")
	flag.DurationVar(&o.idle, "idle", 90*time.Second, "duration of the idle measurements")
	flag.StringVar(&o.pprof, "pprof-address", "", "address at which the controller serves profiles")
	flag.StringVar(&o.cost, "cost", "", "measure only the cost of the volumes, once, and write it to this file")
	limit := flag.Duration("timeout", time.Hour, "time limit of the benchmark")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o options) validate() error {
	if min(o.sets, o.replicas, o.templates, o.nodes) < 1 || min(o.rounds, o.localPath, o.many, o.directories) < 0 ||
		min(o.idle, o.manyLimit) <= 0 {
		return errors.New("-sets, -replicas, -templates, -nodes, -idle and -many-limit must be greater than 0, and " +
			"-rounds, -local-path, -many and -directories must not be negative")
	}
	return nil
}

// volumes returns the number of volumes of all sets.
func (o options) volumes() int { return o.sets * o.replicas * o.templates }

// with returns the options for another number of volumes, with as many volumes per node as before.
func (o options) with(volumes int) options {
	nodes := o.nodes * volumes / o.volumes()
	o.sets = max(1, volumes/(o.replicas*o.templates))
	o.nodes = max(1, nodes)
	return o
}

func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	root, err := env.Root()
	if err != nil {
		return err
	}
	bench.Logf("building %s", service)
	if err := env.Build(ctx, root, service); err != nil {
		return err
	}
	if _, err := binaries.Ensure(ctx, os.Stderr); err != nil {
		return err
	}
	if o.cost != "" {
		return measureCost(ctx, o, root)
	}
	var r report
	err = r.measure(ctx, o, root)
	// Completed measurements are printed even after an error.
	r.print(os.Stdout, o)
	return err
}

// measure takes all measurements. In the first round the service comes first: the bare client creates copies of its
// objects.
func (r *report) measure(ctx context.Context, o options, root string) error {
	var created persistentVolumes
	subjects := []func(int) error{
		func(round int) error {
			result, err := runService(ctx, o, root, round == 0, r, &created)
			if err != nil {
				return fmt.Errorf("service: %w", err)
			}
			r.service = append(r.service, result)
			return nil
		},
		func(int) error {
			took, used, err := runBareClient(ctx, o, root, created)
			if err != nil {
				return fmt.Errorf("bare client: %w", err)
			}
			r.bareLoad = used
			r.bare = append(r.bare, took)
			return nil
		},
	}
	if o.localPath > 0 {
		subjects = append(subjects, func(int) error { return r.runLocalPath(ctx, o, root) })
	}
	if err := bench.Rounds(o.rounds, subjects...); err != nil {
		return err
	}
	if o.many > 0 {
		if err := r.measureMany(ctx, o.with(o.many), root); err != nil {
			return fmt.Errorf("%d volumes: %w", o.many, err)
		}
	}
	if o.directories > 0 {
		if err := r.measureAgent(ctx, o, root); err != nil {
			return fmt.Errorf("agent: %w", err)
		}
	}
	return nil
}
